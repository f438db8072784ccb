"""The work of a run, as executors carry it: a job that can be sent to other processes, and its open session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from olpipe.describing.describer import Describer, Prepared, Seen, Terms, info_of
from olpipe.describing.failures import at_stage, failure_of
from olpipe.describing.recipe import Recipe
from olpipe.describing.stage import Answer
from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed, MachineError
from olpipe.generation import Completion
from olpipe.guidance import limits
from olpipe.image import ImageFile
from olpipe.imaging.likeness import picture_digest
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.interfaces import Job, Session
from olpipe.model import FULL_CACHE, LoadOptions
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.pipeline.page.thumbnails import make_thumbnail
from olpipe.pipeline.pictures import Pictures
from olpipe.pipeline.resolved import ResolvedRecipe
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


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How the work of a run is done. It travels with a job to other processes.

    Attributes:
        key: The recipe's key, where the job was made. Empty means that it is not compared.
        thumbnails: Whether records get a thumbnail of their photo.
        keep_alive_s: How long the model stays loaded after each photo; below 0 means for ever.
        pictures: Which pictures have a record. None describes each photo. Where the job is sent to another process,
            only what is seen there is known there.
        sandbox: Where photos are decoded; None decodes them where the job is opened.
    """

    key: str = ""
    thumbnails: bool = False
    keep_alive_s: float = FOR_EVER
    pictures: Pictures | None = None
    sandbox: Sandbox | None = None


class DescribeJob(Job):
    """Describes photos as a recipe says.

    A pickled job holds only the recipe with its key, the settings and the finding. Where it is opened, it loads plugins
    and models itself, and refuses to work where the recipe would have another key.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        finding: Finding | None = None,
        *,
        plugins: Plugins | None = None,
        engine: Engine | None = None,
        options: JobOptions | None = None,
    ) -> None:
        """Make a job.

        Args:
            recipe: What is asked.
            settings: How models are loaded.
            finding: What `olpipe doctor` found out about the model.
            plugins: Used instead of loading its own; None loads them.
            engine: The same for the engine.
            options: More about how the work is done; None stands for the usual.
        """
        self._recipe = recipe
        self._settings = settings
        self._finding = finding
        self._plugins = plugins
        self._engine = engine
        self._options = options or JobOptions()

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(DescribeJob, options=self._options)
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
                limits.configure(largest_schema=self._settings.max_schema, effort=self._settings.grammar_effort)
                folder, cache = self._settings.models_folder, self._settings.home / "cache"
                library = Library(folder, cache=cache, keeps_blobs=self._settings.keeps_blobs)
                engine = stack.enter_context(Engine(library, plugins, self._settings))
                self._check_key(plugins, engine)
            evidence = EvidenceCache(self._settings.home / "cache" / "evidence.sqlite")
            stack.callback(evidence.close)
            load = LoadOptions(cache_type=FULL_CACHE)  # no record depends on the settings
            terms = Terms(client=f"recipe {self._recipe.name}", keep_alive_s=self._options.keep_alive_s, load=load)
            sandbox = self._options.sandbox
            more: dict[str, Any] = {"finding": self._finding, "terms": terms, "sandbox": sandbox}
            describer = Describer(self._recipe, plugins, engine, evidence, **more)
            if sandbox is not None:
                stack.callback(sandbox.close)
            yield DescribeSession(describer, thumbnails=self._options.thumbnails, pictures=self._options.pictures)

    def _check_key(self, plugins: Plugins, engine: Engine) -> None:
        """Refuse a machine that would make other records, with another model or other versions of plugins."""
        if not self._options.key:
            return
        here = ResolvedRecipe.resolve(self._recipe, plugins, engine, _Carried(self._finding))
        if here.key != self._options.key:
            what = f"{here.bundle.name} has the digest {here.bundle.digest} here, and runs on {here.backend.name}"
            message = f"this machine would make other records than the one where the batch was started: {what}"
            hint = "install the same plugins in the same versions on all machines, and pull the same model"
            raise MachineError(message, hint=hint)


class _Carried:
    """The finding that a job has brought along. It holds for the model on whatever machine."""

    def __init__(self, finding: Finding | None) -> None:
        self._finding = finding

    def about(self, digest: str, made_by: tuple[str, ...], /) -> Finding | None:
        """Return it."""
        return self._finding


class DescribeSession(Session):
    """A loaded model, ready to describe photos. Several threads may call `work`."""

    def __init__(self, describer: Describer, *, thumbnails: bool = False, pictures: Pictures | None = None) -> None:
        self._describer = describer
        self._thumbnails = thumbnails
        self._pictures = pictures
        self._alone = threading.Lock()
        self.slots = describer.slots
        # The questions about one photo follow each other, so that the model still has the photo when the next one comes
        several = len(describer.questions) > 1
        self._turns = threading.Semaphore(self.slots) if several else nullcontext()

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
            record = self._record(seen)
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

    def _record(self, seen: Seen) -> Record:
        """Ask every question about a photo, and make the record."""
        first, *others = self._describer.questions
        with at_stage(first.stage):
            prepared = self._describer.ground(seen, first)  # before its turn: perceivers work while the model does
        with self._turns:
            answers = [self._answer(prepared)]
            for question in others:
                with at_stage(question.stage):
                    prepared = self._describer.ground(seen, question, answers, prepared)
                answers.append(self._answer(prepared))
        return self._describer.record(prepared, answers)

    def _answer(self, prepared: Prepared) -> Answer:
        with at_stage(prepared.question.stage):
            return self._describer.answer(prepared, self._completion(prepared))

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
                    name = prepared.seen.image.ref.name
                    hint = f"it happened at `{name}`, twice; {error.hint or 'run the same command again to go on'}"
                    raise BackendCrashed(error.message, hint=hint) from error


def _with_thumbnail(outcome: Described, seen: Seen) -> Described:
    """Return an outcome with a thumbnail, which is made of the pixels that are decoded already."""
    started_ns = time.monotonic_ns()
    thumbnail = make_thumbnail(seen.decoded)
    return replace(outcome, thumbnail=thumbnail, thumbnail_ns=time.monotonic_ns() - started_ns)
