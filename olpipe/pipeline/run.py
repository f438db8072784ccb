"""The river: photos from discovery through ledger, executor, ledger and sinks to the report."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olpipe.engine.manager import Engine
from olpipe.errors import ImageUnsupported, MachineError, PluginError
from olpipe.image import ImageFile, ImageRef
from olpipe.imaging.decode import HEADER_BYTES, choose_loader
from olpipe.imaging.discover import Discovery, read
from olpipe.interfaces import RunInfo, Task
from olpipe.model import ModelBundle
from olpipe.pipeline.job import DescribeJob
from olpipe.pipeline.ledger import FAILURES, RECORDS, Ledger
from olpipe.pipeline.recipe import Recipe
from olpipe.pipeline.report import Counts, Status, Tally, versions, write_report
from olpipe.pipeline.survey import survey
from olpipe.pipeline.write import Writer
from olpipe.plugins import Plugins
from olpipe.record import Failure, FailureKind, Outcome, Record
from olpipe.settings import Settings

EXECUTOR = "local"
SINK_SCHEME = "jsonl"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a run is asked to do.

    Attributes:
        output: The folder that records, failures, the report and the ledger go to.
        limit: Only the first so many photos; None for all.
        retry_failed: Whether photos that failed before are tried again.
    """

    output: Path
    limit: int | None = None
    retry_failed: bool = False


@dataclass(slots=True)
class Observer:
    """How a run and whoever started it talk while it runs.

    Attributes:
        progress: Told the counts, after every change.
        notice: Told what someone should know, in a line.
        stop: Once set, no new photo is begun.
    """

    progress: Callable[[Counts], None]
    notice: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a run ended."""

    status: Status
    counts: Counts


def run_batch(
    found: Discovery,
    recipe: Recipe,
    options: BatchOptions,
    observer: Observer,
    *,
    plugins: Plugins,
    engine: Engine,
    settings: Settings,
) -> BatchResult:
    """Describe the photos found, one record each, into the output folder.

    Raises:
        OutputBusy: Another run writes there.
        OutputUnavailable: The folder cannot be made or written.
        ModelNotFound: The recipe's model is nowhere.
        UsageError: The perceivers have no words in the recipe's language.
        MachineError: The machine failed; what was done is kept, and no photo is marked for it.
    """
    with Ledger(options.output) as ledger:
        task = plugins.tasks.get(recipe.task)
        bundle = engine.bundle(recipe.model)
        names = bundle.config.perceivers if recipe.perceivers is None else recipe.perceivers
        perceivers = [plugins.perceivers.get(name) for name in names]
        key = recipe.key(bundle.digest, task, perceivers)
        about = {
            "recipe": {"name": recipe.name, "key": key, "task": task.name, "task_version": task.version},
            "model": {"name": str(bundle.name), "digest": bundle.digest},
            "perceivers": {perceiver.name: perceiver.version for perceiver in perceivers},
            "versions": versions(),
        }
        others = ledger.begin(key)
        if others:
            observer.notice(
                f"the recipe or the model changed: `{options.output}` held {others} records of another; they stay in"
                " its ledger and come back without work when that is run again"
            )
        if not bundle.config.writes(recipe.language):
            observer.notice(_unwritten(recipe, task, bundle))
        run = RunInfo(recipe.name, key)
        factory = plugins.sinks.get(SINK_SCHEME)
        sinks = {name: factory.open(str(options.output / f"{name}.jsonl"), run) for name in (RECORDS, FAILURES)}
        with Writer(ledger, sinks) as writer:
            river = _River(ledger, writer, plugins, observer)
            job = DescribeJob(recipe, settings, plugins=plugins, engine=engine)
            return river.flow(job, found.images, options, about)


def _unwritten(recipe: Recipe, task: Task, bundle: ModelBundle) -> str:
    """Say what becomes of texts in a language that the model does not write."""
    *others, last = [f"`{name}`" for name in task.sentences if name in recipe.schema.get("properties", {})] or [""]
    empty = f"{', '.join(others)} and {last}" if others else last
    outcome = f"{empty} will be empty" if empty else "its answers may be in another language"
    return f"`{bundle.name}` does not write `{recipe.language}`: {outcome}"


class _River:
    """One run's state."""

    def __init__(self, ledger: Ledger, writer: Writer, plugins: Plugins, observer: Observer) -> None:
        self._ledger = ledger
        self._writer = writer
        self._plugins = plugins
        self._observer = observer
        self._tally = Tally()
        self._counts = Counts()
        self._at_work: dict[str, ImageFile] = {}  # by name
        self._waiting: dict[str, list[ImageRef]] = {}  # photos equal to one at work, by digest

    def flow(
        self, job: DescribeJob, images: Sequence[ImageRef], options: BatchOptions, about: dict[str, Any]
    ) -> BatchResult:
        """Bring every photo to an outcome, or as many as there is time for, and leave a report."""
        status: Status = "stopped"
        try:
            todo = self._survey(images, options)
            self._writer.start()
            for outcome in self._plugins.executors.get(EXECUTOR).map(job, self._pending(todo)):
                self._commit(outcome)
            if self._at_work:
                raise PluginError(f"the executor `{EXECUTOR}` lost {len(self._at_work)} photos")
            self._writer.flush()
            status = "interrupted" if self._observer.stop.is_set() and self._counts.left else "complete"
        except BaseException:
            with suppress(MachineError):  # the first error is the one to tell
                self._writer.flush()
                self._report(status, options.output, about)
            raise
        self._report(status, options.output, about)
        return BatchResult(status, self._counts)

    def _survey(self, images: Sequence[ImageRef], options: BatchOptions) -> Sequence[ImageRef]:
        before = survey(self._ledger, images, limit=options.limit, retry_failed=options.retry_failed)
        self._counts = Counts(
            found=len(images),
            wanted=len(images) if options.limit is None else min(options.limit, len(images)),
            records_before=before.records,
            failures_before=before.failures,
            renamed=before.renamed,
        )
        self._observer.progress(self._counts)
        return before.todo

    def _pending(self, todo: Sequence[ImageRef]) -> Iterator[ImageFile]:
        """Yield what a model has to work on; settle everything else on the way."""
        for image in todo:
            if self._observer.stop.is_set():
                return
            started_ns = time.monotonic_ns()
            file = self._open(image)
            self._tally.read_ns += time.monotonic_ns() - started_ns
            if isinstance(file, Failure):
                self._keep(file, [image])
            elif sink := self._ledger.adopt(file.ref, file.sha256):
                self._count(1, failed=sink == FAILURES, equal=1)
            elif file.sha256 in self._waiting:
                self._waiting[file.sha256].append(file.ref)
            else:
                self._at_work[file.ref.name] = file
                self._waiting[file.sha256] = []
                yield file

    def _open(self, image: ImageRef) -> ImageFile | Failure:
        """Read and hash a photo, unless the ledger knows it as it is."""
        digest = self._ledger.digest(image)
        if digest is not None:
            return ImageFile(image, digest)
        try:
            self._refuse_unsupported(image)
            ref, data = read(image)
        except ImageUnsupported as error:
            return Failure(image.name, None, FailureKind.UNSUPPORTED, error.message, error.hint)
        except OSError as error:
            message = f"the file cannot be opened: {error.strerror or error}"
            return Failure(image.name, None, FailureKind.UNREADABLE, message)
        return ImageFile(ref, hashlib.sha256(data).hexdigest(), data)

    def _refuse_unsupported(self, image: ImageRef) -> None:
        """Refuse what no loader reads without reading it: camera raw files are large."""
        if any(image.path.suffix.lower() in loader.suffixes for loader in self._plugins.image_loaders):
            return
        header = read(image, most=HEADER_BYTES)[1]
        choose_loader(header, image.path.suffix, self._plugins.image_loaders)

    def _commit(self, outcome: Outcome) -> None:
        """Take an outcome from the executor into the ledger."""
        file = self._at_work.pop(outcome.file, None)
        if file is None:
            raise PluginError(f"the executor `{EXECUTOR}` gave an outcome for `{outcome.file}` that nobody asked for")
        self._tally.add(outcome)
        equal = self._waiting.pop(file.sha256)
        self._keep(outcome, [file.ref, *equal])

    def _keep(self, outcome: Outcome, images: Sequence[ImageRef]) -> None:
        self._ledger.commit(outcome, images)
        self._writer.append()
        self._count(len(images), failed=not isinstance(outcome, Record), equal=len(images) - 1)

    def _count(self, photos: int, *, failed: bool, equal: int) -> None:
        counts = self._counts
        self._counts = replace(
            counts,
            records=counts.records + (0 if failed else photos),
            failures=counts.failures + (photos if failed else 0),
            equal=counts.equal + equal,
        )
        self._observer.progress(self._counts)

    def _report(self, status: Status, output: Path, about: dict[str, Any]) -> None:
        report = self._tally.to_json(status, self._counts, write_ns=self._writer.write_ns)
        write_report(output, {**report, **about})
