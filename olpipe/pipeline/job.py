"""The work of a run, as executors carry it: a job that can be sent to other processes, and its open session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from olpipe.describing.describer import Describer, Prepared, Seen, Terms, info_of
from olpipe.describing.failures import failure_of
from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed
from olpipe.generation import Completion
from olpipe.image import ImageFile
from olpipe.imaging.likeness import picture_digest
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.interfaces import Job, Session
from olpipe.model import FULL_CACHE, LoadOptions
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.pipeline.page.thumbnails import make_thumbnail
from olpipe.pipeline.pictures import Pictures
from olpipe.plugins import Plugins
from olpipe.record import Copy, Outcome, Record
from olpipe.settings import Settings
from olpipe.store.findings import Finding
from olpipe.store.library import Library

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Described = TypeVar("Described", Record, Copy)

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
        pictures: Pictures | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Make a job.

        Args:
            recipe: What is asked.
            settings: How models are loaded.
            finding: What `olpipe doctor` found out about the model.
            plugins: Used instead of loading its own; None loads them.
            engine: The same for the engine.
            thumbnails: Whether records get a thumbnail of their photo.
            pictures: Which pictures have a record. None describes each photo. Where the job is sent to another process,
                only what is seen there is known there.
            sandbox: Where photos are decoded; None decodes them where the job is opened.
        """
        self._recipe = recipe
        self._settings = settings
        self._finding = finding
        self._plugins = plugins
        self._engine = engine
        self._thumbnails = thumbnails
        self._pictures = pictures
        self._sandbox = sandbox

    def __reduce__(self) -> tuple[Any, ...]:
        more: dict[str, Any] = {"thumbnails": self._thumbnails, "pictures": self._pictures, "sandbox": self._sandbox}
        return partial(DescribeJob, **more), (self._recipe, self._settings, self._finding)

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
            terms = Terms(client=f"recipe {self._recipe.name}", keep_alive_s=FOR_EVER, load=load)
            more: dict[str, Any] = {"finding": self._finding, "terms": terms, "sandbox": self._sandbox}
            describer = Describer(self._recipe, plugins, engine, evidence, **more)
            if self._sandbox is not None:
                stack.callback(self._sandbox.close)
            yield DescribeSession(describer, thumbnails=self._thumbnails, pictures=self._pictures)


class DescribeSession(Session):
    """A loaded model, ready to describe photos. Several threads may call `work`."""

    def __init__(self, describer: Describer, *, thumbnails: bool = False, pictures: Pictures | None = None) -> None:
        self._describer = describer
        self._thumbnails = thumbnails
        self._pictures = pictures
        self._alone = threading.Lock()
        self.slots = describer.slots

    def work(self, image: ImageFile) -> Outcome:
        """Describe one photo. Return a `Failure` where the photo or a plugin is at fault; raise everything else.

        A photo that looks exactly like one that was seen before is not described: the outcome is a `Copy` then.
        """
        picture = b""
        try:
            seen = self._describer.see(image)
            if self._pictures is not None:
                picture = picture_digest(seen.decoded, seen.told)
                if not self._pictures.claim(picture, image.ref.name):
                    return self._copy(seen, picture)
            prepared = self._describer.ground(seen)
            record = self._describer.record(prepared, self._completion(prepared))
            return replace(_with_thumbnail(record, seen) if self._thumbnails else record, picture=picture)
        except Exception as error:
            failure = failure_of(image, error)
            if failure is None:
                raise
            return replace(failure, picture=picture)

    def _copy(self, seen: Seen, picture: bytes) -> Copy:
        image = seen.image
        copy = Copy(image.ref.name, image.sha256, info_of(seen.decoded), picture, image_ns=seen.image_ns)
        return _with_thumbnail(copy, seen) if self._thumbnails else copy

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


def _with_thumbnail(outcome: Described, seen: Seen) -> Described:
    """Return an outcome with a thumbnail, which is made of the pixels that are decoded already."""
    started_ns = time.monotonic_ns()
    thumbnail = make_thumbnail(seen.decoded)
    return replace(outcome, thumbnail=thumbnail, thumbnail_ns=time.monotonic_ns() - started_ns)
