"""The work of a run, as executors carry it: a job that can be sent to other processes, and its open session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from olpipe.describing.describer import Describer, Prepared, Terms
from olpipe.describing.failures import failure_of
from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed
from olpipe.generation import Completion
from olpipe.image import ImageFile
from olpipe.interfaces import Job, Session
from olpipe.model import FULL_CACHE, LoadOptions
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.pipeline.page.thumbnails import make_thumbnail
from olpipe.plugins import Plugins
from olpipe.record import Outcome, Record
from olpipe.settings import Settings
from olpipe.store.findings import Finding
from olpipe.store.library import Library

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FOR_EVER = -1.0
"""The model stays loaded until the run closes its engine."""


class DescribeJob(Job):
    """Describes photos as a recipe says.

    A pickled job holds only the recipe, the settings and the finding. Where it is opened, it loads plugins and models
    itself.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        finding: Finding | None = None,
        *,
        plugins: Plugins | None = None,
        engine: Engine | None = None,
        thumbnails: bool = False,
        keep_alive_s: float = FOR_EVER,
    ) -> None:
        """Make a job.

        Args:
            recipe: What is asked.
            settings: How models are loaded.
            finding: What `olpipe doctor` found out about the model.
            plugins: Used instead of loading its own; None loads them.
            engine: The same for the engine.
            thumbnails: Whether records get a thumbnail of their photo.
            keep_alive_s: How long the model stays loaded after each photo; below 0 means for ever.
        """
        self._recipe = recipe
        self._settings = settings
        self._finding = finding
        self._plugins = plugins
        self._engine = engine
        self._thumbnails = thumbnails
        self._keep_alive_s = keep_alive_s

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(DescribeJob, thumbnails=self._thumbnails, keep_alive_s=self._keep_alive_s)
        return make, (self._recipe, self._settings, self._finding)

    def open(self) -> AbstractContextManager[Session]:
        """Load the model."""
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Session]:
        plugins = self._plugins or Plugins.load(self._settings)
        with ExitStack() as stack:
            engine = self._engine
            if engine is None:
                folder, cache = self._settings.models_folder, self._settings.home / "cache"
                library = Library(folder, cache=cache, keeps_blobs=self._settings.keeps_blobs)
                engine = stack.enter_context(Engine(library, plugins, self._settings))
            evidence = EvidenceCache(self._settings.home / "cache" / "evidence.sqlite")
            stack.callback(evidence.close)
            load = LoadOptions(cache_type=FULL_CACHE)  # no record depends on the settings
            terms = Terms(client=f"recipe {self._recipe.name}", keep_alive_s=self._keep_alive_s, load=load)
            describer = Describer(self._recipe, plugins, engine, evidence, finding=self._finding, terms=terms)
            yield DescribeSession(describer, thumbnails=self._thumbnails)


class DescribeSession(Session):
    """A loaded model, ready to describe photos. Several threads may call `work`."""

    def __init__(self, describer: Describer, *, thumbnails: bool = False) -> None:
        self._describer = describer
        self._thumbnails = thumbnails
        self._alone = threading.Lock()
        self.slots = describer.slots

    def work(self, image: ImageFile) -> Outcome:
        """Describe one photo. Return a `Failure` where the photo or a plugin is at fault; raise everything else."""
        try:
            prepared = self._describer.prepare(image)
            record = self._describer.record(prepared, self._completion(prepared))
            return _with_thumbnail(record, prepared) if self._thumbnails else record
        except Exception as error:
            failure = failure_of(image, error)
            if failure is None:
                raise
            return failure

    def _completion(self, prepared: Prepared) -> Completion:
        """Have the model answer. After a crash of its process, try once more, one photo at a time.

        So a photo gets its record if only its neighbour caused the crash. A photo that causes a second crash is named.
        """
        try:
            return self._describer.ask(prepared).completion()
        except BackendCrashed:
            with self._alone:
                try:
                    return self._describer.ask(prepared).completion()
                except BackendCrashed as error:
                    name = prepared.image.ref.name
                    hint = f"it happened at `{name}`, twice; {error.hint or 'run the same command again to go on'}"
                    raise BackendCrashed(error.message, hint=hint) from error


def _with_thumbnail(record: Record, prepared: Prepared) -> Record:
    """Return a record with a thumbnail, which is made of the pixels that are decoded already."""
    started_ns = time.monotonic_ns()
    thumbnail = make_thumbnail(prepared.decoded)
    return replace(record, thumbnail=thumbnail, thumbnail_ns=time.monotonic_ns() - started_ns)
