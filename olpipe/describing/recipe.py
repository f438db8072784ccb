"""A recipe: what is asked of every photo, of which model, and how the answer must look."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from olpipe.describing.stage import Stage
from olpipe.describing.templates import check_prompt, is_template, tells_place, told_of
from olpipe.errors import UsageError
from olpipe.generation import SamplingParams
from olpipe.guidance.schema import check_schema
from olpipe.image import USUAL_PIXELS
from olpipe.interfaces import Backend, Family, Perceiver, Task, TaskContext
from olpipe.languages import is_tag
from olpipe.perception.names import names_in
from olpipe.perception.prompt import WORDING
from olpipe.tagging.settings import Tagging

UNNAMED_BACKENDS = frozenset({("onnx", "1"), ("ort-genai", "1")})
"""Backends that keys leave out. Keys once named no backend, and these still answer as they did then.

So records that were made then stay valid.
"""

USUAL_SINKS = ("jsonl",)
USUAL_EXECUTOR = "local"

OWN_SCHEMA_TASK = "data"
OWN_SCHEMA_PROMPT = "Describe this photo as JSON."


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a photo's record says, except the model's weights.

    Attributes:
        name: How records and people call it.
        description: What it is for, in one line.
        task: The task that asks and that reads the answer.
        model: The model's name.
        prompt: What to ask of every photo; the prompts of all stages where there are some.
        schema: JSON Schema of the answer; its key order is the generation order. Where there are stages, it is that of
            what their answers make together.
        language: The language to answer in, as a BCP 47 tag.
        sampling: How tokens are picked.
        examples: (question, answer) pairs shown before the photo.
        perceivers: Names of the perceivers whose evidence joins; None means those that the model's manifest names.
        min_score: Tags and objects that perceivers give a lower score are not used, 0..1.
        backend: Name of the backend that runs the model; empty takes the first that can.
        image_tokens: Most tokens that one photo becomes; 0 takes the model's usual number.
        device: What computes: `cpu`, `cuda` or `directml`; empty lets the backend choose. It is about this machine, so
            recipe files do not say it.
        sinks: Where records go, each as `SCHEME` or `SCHEME:TARGET`.
        executor: Name of the executor that carries the work.
        tagging: What is done with tags before they stand in a record; None where nothing is.
        stages: The questions of a recipe that asks several, in order; empty for one that asks one question.
    """

    name: str
    task: str
    model: str
    prompt: str
    schema: Mapping[str, Any]
    language: str = "en"
    sampling: SamplingParams = field(default_factory=SamplingParams)
    examples: tuple[tuple[str, str], ...] = ()
    perceivers: tuple[str, ...] | None = None
    min_score: float = 0.0
    backend: str = ""
    image_tokens: int = 0
    device: str = ""
    sinks: tuple[str, ...] = USUAL_SINKS
    executor: str = USUAL_EXECUTOR
    description: str = ""
    tagging: Tagging | None = None
    stages: tuple[Stage, ...] = ()

    @property
    def questions(self) -> tuple[Recipe, ...]:
        """A recipe for each of its stages, in order; itself where it has none."""
        return tuple(
            replace(
                self,
                prompt=stage.prompt,
                schema=stage.schema,
                sampling=stage.sampling,
                examples=stage.examples,
                stages=(),
            )
            for stage in self.stages
        ) or (self,)

    @property
    def used_tagging(self) -> Tagging | None:
        """What is done with tags; None where the schema has none, too."""
        return None if self.tagging is None else self.tagging.about(self.schema)

    @property
    def told(self) -> Callable[[Path], str] | None:
        """What the prompt tells of where a photo lies; None where it tells nothing of it."""
        prompt = self.prompt
        return (lambda path: told_of(prompt, path)) if tells_place(prompt) else None

    @property
    def needs_words(self) -> bool:
        """Whether perceivers must have words in the recipe's language. A vocabulary may have them instead."""
        return self.used_tagging is None or not self.used_tagging.brings(self.language)

    def override(self, *, schema: str | None = None, **changes: Any) -> Recipe:
        """Return a copy with some fields changed.

        Another schema brings the task `data`, whose values cannot collide with a record's own keys. The recipe's
        prompt and examples are dropped then, because they are about another answer.

        Args:
            schema: JSON Schema as JSON text; None keeps the recipe's.
            changes: Other fields by name; those that are None stay as they are.

        Raises:
            SchemaError: The schema is not JSON, or not a valid JSON Schema. The message says where.
            RecipeError: The prompt has a name in braces that is not known, or the schema has no room for the terms of
                the vocabulary.
            UsageError: The language is not a BCP 47 tag, the least score is not in 0..1, or one prompt is given for a
                recipe with stages.
        """
        recipe = self
        if schema is not None:
            own = check_schema(schema)
            recipe = replace(recipe, task=OWN_SCHEMA_TASK, prompt=OWN_SCHEMA_PROMPT, schema=own, examples=(), stages=())
        if recipe.stages and changes.get("prompt") is not None:
            names = ", ".join(f"`{stage.name}`" for stage in recipe.stages)
            message = f"recipe `{recipe.name}` has a prompt in each of its stages, {names}"
            raise UsageError(message, hint=f"change one of them with `--set stages.{recipe.stages[0].name}.prompt=…`")
        recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})
        if not recipe.stages:  # theirs are about each other, and were checked when they were read
            check_prompt(recipe.prompt)
        if not is_tag(recipe.language):
            raise UsageError(f"`{recipe.language}` is not a language tag", hint="write one like `de` or `zh-Hans`")
        if not 0 <= recipe.min_score <= 1:
            message = f"the least score must be between 0 and 1, not `{recipe.min_score}`"
            raise UsageError(message, hint="give a number like `--min-score 0.6`")
        if recipe.used_tagging is not None:
            recipe.used_tagging.check(recipe.schema, recipe.language)
        return recipe

    def sampled(self, changes: Mapping[str, Any]) -> Recipe:
        """Return a copy that picks tokens in another way, in all of its stages.

        Args:
            changes: Fields of `SamplingParams` by name.
        """
        stages = tuple(replace(stage, sampling=replace(stage.sampling, **changes)) for stage in self.stages)
        return replace(self, sampling=replace(self.sampling, **changes), stages=stages)

    def context(self, *, with_sentences: bool = True, photo_first: bool = False) -> TaskContext:
        """Return the recipe as its task sees it.

        Args:
            with_sentences: Whether sentences are asked for.
            photo_first: Whether the photo stands before the prompt.
        """
        prompt = self.prompt
        if self.language != "en":
            prompt += f"\nWrite every text in the language `{self.language}`."
        tagging = self.used_tagging
        return TaskContext(
            model=self.model,
            prompt=prompt,
            schema=self.schema if tagging is None else tagging.schema(self.schema, self.language),
            sampling=self.sampling,
            examples=self.examples,
            perceivers=self.perceivers,
            language=self.language,
            with_sentences=with_sentences,
            photo_first=photo_first,
        )

    def key(
        self,
        model_digest: str,
        backend: Backend,
        task: Task,
        perceivers: Sequence[Perceiver],
        *,
        family: Family | None = None,
        boxes: str = "",
    ) -> str:
        """Return a digest of everything that a record depends on besides the photo's bytes.

        Two recipes have the same key exactly when they give the same records. The names of the recipe and of the model
        are not part of the key, so that a new name causes no new work. Sinks, the executor and the device are not part
        of it, either.

        Args:
            model_digest: `sha256:…` of the model's manifest.
            backend: The backend that runs the model.
            task: The recipe's task.
            perceivers: The perceivers whose evidence joins the requests, in order.
            family: The family of vision models that shows photos to the model; None where none does.
            boxes: How boxes differ for what `olpipe doctor` found out about the model; empty where they do not.

        Raises:
            UsageError: The perceivers have no words in the recipe's language.
        """
        usual = asdict(SamplingParams())
        parts: dict[str, Any] = {
            "model": model_digest,
            "task": [task.name, task.version],
            "perceivers": [[perceiver.name, perceiver.version] for perceiver in perceivers],
            "prompt": self.prompt,
            "schema": self.schema,  # its key order is the generation order, so it is kept
            "language": self.language,
            # Usual values are left out. So an option that olpipe adds later does not change the keys of today
            "sampling": {name: value for name, value in asdict(self.sampling).items() if value != usual[name]},
            "examples": self.examples,
            "fit_pixels": USUAL_PIXELS,
        }
        if self.language != "en" and task.sentences:
            parts["unwritten"] = "left out"  # sentences of a language that the model does not write were empty once
        parts |= self._given(boxes)
        if is_template(self.prompt):
            parts["filled"] = "names"  # names in braces were text once
        if family is not None:
            parts["family"] = [family.name, family.version]
        if (backend.name, backend.version) not in UNNAMED_BACKENDS:
            parts["backend"] = [backend.name, backend.version]
        parts |= _of_evidence(perceivers, self.min_score)
        if words := names_in(self.language, perceivers, needed=self.needs_words):
            parts["names"] = dict(words)
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _given(self, boxes: str) -> dict[str, Any]:
        """Return what a key has only where it is given, so that other keys stay as they once were."""
        tagging = self.used_tagging
        tags = None if tagging is None else tagging.identity(self.language)
        stages = [stage.to_key() for stage in self.stages]
        given = {"image_tokens": self.image_tokens, "boxes": boxes, "tags": tags, "stages": stages}
        return {name: value for name, value in given.items() if value}


def _of_evidence(perceivers: Sequence[Perceiver], min_score: float) -> dict[str, Any]:
    """Return what a key says of evidence, apart from who brings it."""
    if not perceivers:
        return {}
    parts: dict[str, Any] = {"wording": WORDING, "scores": "given"}  # records once said nothing of how sure they are
    if min_score:
        parts["min_score"] = float(min_score)
    if len(perceivers) > 1:
        parts["seen twice"] = "merged"  # what several perceivers saw was counted several times once
    if any(perceiver.reads for perceiver in perceivers):
        parts["text"] = "given"  # records once lacked the words that were read
    return parts
