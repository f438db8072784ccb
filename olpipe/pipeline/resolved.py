"""Find what the names in a recipe stand for on this machine: the model, its backend, the task, the perceivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from olpipe.asking.image_tokens import check_image_tokens
from olpipe.describing.recipe import Recipe
from olpipe.describing.templates import check_evidence
from olpipe.engine.manager import Engine
from olpipe.interfaces import Backend, Perceiver, Task
from olpipe.model import ModelBundle
from olpipe.perception.ground import Grounder
from olpipe.pipeline.report import versions
from olpipe.plugins import Plugins
from olpipe.store.build import backend_for
from olpipe.store.findings import Finding, makers


class KnowsFindings(Protocol):
    """Whoever knows what `olpipe doctor` found out about models, as `Findings` does."""

    def about(self, digest: str, made_by: tuple[str, ...], /) -> Finding | None:
        """Return the finding about a model, or None where there is none."""


@dataclass(frozen=True, slots=True)
class ResolvedRecipe:
    """What the names in a recipe stand for on this machine.

    Attributes:
        bundle: The model.
        backend: The backend that runs it.
        task: The task that asks it.
        perceivers: The perceivers whose evidence joins the requests.
        finding: What `olpipe doctor` found out about the model on this backend; None where that is not known.
        key: Digest of everything that a record depends on besides the photo.
    """

    bundle: ModelBundle
    backend: Backend
    task: Task
    perceivers: tuple[Perceiver, ...]
    finding: Finding | None
    key: str

    @classmethod
    def resolve(cls, recipe: Recipe, plugins: Plugins, engine: Engine, findings: KnowsFindings) -> Self:
        """Find everything that the recipe names."""
        task = plugins.tasks.get(recipe.task)
        bundle = engine.bundle(recipe.model)
        hint = "leave out `--image-tokens`, or `image_tokens` in the recipe"
        check_image_tokens(bundle, recipe.image_tokens, hint=hint)
        backend = backend_for(bundle, plugins.backends, recipe.backend)
        perceivers = Grounder(bundle, plugins.perceivers, names=recipe.perceivers).perceivers
        check_evidence(recipe.prompt, with_perceivers=bool(perceivers))
        with plugins.backends.blaming(backend.name):
            family = backend.family_of(bundle)
        finding = findings.about(bundle.digest, makers(backend, family))
        boxes = "" if finding is None else finding.change
        key = recipe.key(bundle.digest, backend, task, perceivers, family=family, boxes=boxes)
        return cls(bundle, backend, task, perceivers, finding, key)

    def about(self, recipe: Recipe, targets: Sequence[str]) -> dict[str, Any]:
        """Return what the report says about the plan."""
        return {
            "recipe": {"name": recipe.name, "key": self.key, "task": self.task.name, "task_version": self.task.version},
            "model": {"name": str(self.bundle.name), "digest": self.bundle.digest} | self._found(),
            "backend": {"name": self.backend.name, "version": self.backend.version},
            "perceivers": {perceiver.name: perceiver.version for perceiver in self.perceivers},
            "executor": recipe.executor,
            "sinks": list(targets),
            "versions": versions(),
        }

    def _found(self) -> dict[str, str]:
        """Return what the report says of the finding, where it changes records."""
        return {"boxes": self.finding.change} if self.finding is not None and self.finding.change else {}
