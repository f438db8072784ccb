"""Run a batch: take the photos that were found through the ledger, the executor and the sinks, and write a report."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olpipe.describing.failures import kind_of
from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.errors import ImageError, OlpipeError, PluginError
from olpipe.image import ImageFile, ImageRef
from olpipe.imaging.decode import HEADER_BYTES, check_installed, choose_loader
from olpipe.imaging.discover import Discovery, read
from olpipe.interfaces import RunInfo
from olpipe.pipeline.copies import EQUAL
from olpipe.pipeline.equipment import Equipment, equipped
from olpipe.pipeline.job import FOR_EVER, DescribeJob, JobOptions
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger
from olpipe.pipeline.near import opened
from olpipe.pipeline.notices import notices
from olpipe.pipeline.outlets import choose_places, open_outlets
from olpipe.pipeline.page.page import Page, about_photos, refuse_other_page
from olpipe.pipeline.report import REPORT_NAME, Counts, Status, Tally, refuse_other_report, write_report
from olpipe.pipeline.resolved import ResolvedRecipe
from olpipe.pipeline.selection import Selection
from olpipe.pipeline.sharing import Settled, Sharing
from olpipe.pipeline.survey import certainties, survey
from olpipe.pipeline.write import Writer
from olpipe.plugins import Plugins
from olpipe.record import Certainty, CopiedRecord, Failure, FailureKind, Outcome, Record
from olpipe.settings import Settings
from olpipe.store.findings import Findings


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a run is asked to do.

    Attributes:
        output: The folder that records, failures, the report and the ledger go to.
        selection: Which of the photos found, and what is done again.
        page: Whether a page to look at is made, with thumbnails.
        keep_alive_s: How long the model stays loaded after each photo; below 0 means until the engine is closed.
        near: In how many of 64 bits the sketches of photos may differ that share a record; below 0, only equal pictures
            share one.
        sandbox: Whether photos are decoded in processes of their own.
    """

    output: Path
    selection: Selection = field(default_factory=Selection)
    page: bool = False
    keep_alive_s: float = FOR_EVER
    near: int = EQUAL
    sandbox: bool = False


@dataclass(slots=True)
class Observer:
    """How a run and its caller talk to each other while it runs.

    Attributes:
        progress: Called with the counts, after every change.
        notice: Called with a line that the user should read.
        stop: The caller sets it to stop the run: no new photo is begun then.
        ready: Asked when a photo was read. One that is not ready gets no outcome in this run.
    """

    progress: Callable[[Counts], None]
    notice: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    ready: Callable[[ImageRef], bool] = lambda image: True


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a run ended.

    Attributes:
        status: Whether the run did everything, was interrupted, or was stopped by an error.
        counts: What became of the photos.
        targets: Where records went, each as `SCHEME:TARGET`.
    """

    status: Status
    counts: Counts
    targets: tuple[str, ...]


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
        ModelNotFound: Neither this machine nor a source has the recipe's model.
        UnknownName: There is no such task, perceiver, sink or executor.
        UsageError: The perceivers have no words in the recipe's language, a sink cannot take such records, or a number
            of image tokens is asked for and the model does not see.
        PluginError: A sink or the executor failed.
        MachineError: The machine failed. What was done is kept, and no photo counts as failed for it.
    """
    # 1. Check the names in the recipe before anything is opened
    _check_names(recipe, plugins)
    places = choose_places(recipe.sinks, recipe.schema, options.output, plugins.sinks)
    refuse_other_report(options.output)
    if options.page:
        refuse_other_page(options.output)
    # 2. Lock the output folder, then find the model: the key depends on it
    with Ledger(options.output) as ledger:
        resolved = ResolvedRecipe.resolve(recipe, plugins, engine, Findings(settings.models_folder))
        run = RunInfo(
            root=found.root,
            output=options.output,
            schema=recipe.schema,
            recipe=recipe.name,
            recipe_key=resolved.key,
            model=str(resolved.bundle.name),
            model_digest=resolved.bundle.digest,
            language=recipe.language,
        )
        # 3. Open the sinks, and tell the user what is special about this run
        with ExitStack() as stack:
            writer = stack.enter_context(Writer(ledger, open_outlets(places, run, plugins.sinks)))
            others = ledger.begin(resolved.key, {str(place): place.kind for place in places}, told=recipe.told)
            remember_run(ledger, run)
            for line in notices(recipe, resolved.task, resolved.bundle.name, resolved.bundle.config):
                observer.notice(line)
            # 4. Bring the photos to their outcomes
            given = equipped(recipe, plugins, settings, near=options.near, sandbox=options.sandbox)
            equipment = stack.enter_context(given)
            river = _River(ledger, writer, equipment, observer, others=others)
            if options.page:
                river.page = Page(options.output, ledger, about_photos(run), equipment.loaders)
            terms = JobOptions(key=resolved.key, thumbnails=options.page, keep_alive_s=options.keep_alive_s)
            job = equipment.job(engine, resolved.finding, terms)
            targets = tuple(str(place) for place in places if place.kind == RECORD)
            status = river.flow(job, found.images, options, {**resolved.about(recipe, targets), **_passed_by(found)})
            return BatchResult(status, river.counts, targets)


def _check_names(recipe: Recipe, plugins: Plugins) -> None:
    """Refuse a recipe with a name that nothing has, before anything is opened or fetched."""
    plugins.tasks.get(recipe.task)
    plugins.executors.get(recipe.executor)
    if recipe.backend:
        plugins.backends.get(recipe.backend)
    for name in recipe.perceivers or ():
        plugins.perceivers.get(name)


def _passed_by(found: Discovery) -> dict[str, Any]:
    """Return what the report says about what was found and will not be described."""
    return {
        "passed_by": {
            "unopened": list(found.unopened),
            "programs_folders": list(found.programs_folders),
            "videos": found.videos,
            "excluded": found.excluded,
            "links": found.links_skipped + found.links_in_archives,
            "missing": list(found.missing),
            "archives": found.archives,
        }
    }


class _River:
    """The state of one run: it takes each photo from the folder to the sinks."""

    def __init__(
        self, ledger: Ledger, writer: Writer, equipment: Equipment, observer: Observer, *, others: int
    ) -> None:
        self._executor = equipment.recipe.executor
        self._others = others  # records of another recipe that the targets hold
        self._ledger = ledger
        self._writer = writer
        self._plugins = equipment.plugins
        self._observer = observer
        self._tally = Tally()
        self.counts = Counts()
        self.page: Page | None = None
        self._equipment = equipment
        self._sharing: Sharing  # after the survey
        self._again: list[ImageRef] = []  # photos that cannot get the record that they waited for
        self._at_work: dict[str, ImageFile] = {}  # photos that the executor has, by name
        self._waiting: dict[str, list[ImageRef]] = {}  # photos equal to one at work, by what outcomes belong to

    def flow(
        self, job: DescribeJob, images: Sequence[ImageRef], options: BatchOptions, about: dict[str, Any]
    ) -> Status:
        """Bring every photo to an outcome, or as many as possible before the run is stopped, and write a report."""
        try:
            todo = self._survey(images, options)
            self._writer.reach()
            while todo:
                for outcome in self._outcomes(job, todo):
                    self._commit(outcome)
                    self._start_writing(options.output)  # not before the job could be opened and has worked on a photo
                if lost := len(self._at_work) + self._sharing.waiting:
                    raise PluginError(f"the executor `{self._executor}` lost {lost} photos")
                todo, self._again = self._again, []
            status: Status = "interrupted" if self._observer.stop.is_set() and self.counts.left else "complete"
            if status == "complete":
                self._start_writing(options.output)
            self._writer.flush()
            self._show(self._observer.stop.is_set)
        except BaseException:
            with suppress(OlpipeError):  # the first error is the one that the user has to know
                self._writer.flush()
            if self._writer.started or (self._writer.reached and not (options.output / REPORT_NAME).exists()):
                with suppress(OlpipeError):
                    self._show(lambda: True)
                with suppress(OlpipeError):
                    self._report("stopped", options.output, about)
            raise
        self._report(status, options.output, about)
        return status

    def _start_writing(self, output: Path) -> None:
        """Let the targets change. A run that fails before that leaves them as they were."""
        if self._writer.started:
            return
        if self._others:
            self._observer.notice(
                f"the recipe or the model changed: `{output}` held {self._others} records of another; they stay"
                " in its ledger and come back without work when that is run again"
            )
        self._writer.start()

    def _outcomes(self, job: DescribeJob, todo: Sequence[ImageRef]) -> Iterator[Outcome]:
        """Have the executor work on what is to be done. Its errors name it."""
        executors = self._plugins.executors
        with executors.blaming(self._executor):
            outcomes = iter(executors.get(self._executor).map(job, self._pending(todo)))
        while True:
            with executors.blaming(self._executor):
                try:
                    outcome = next(outcomes)
                except StopIteration:
                    return
            yield outcome

    def _survey(self, images: Sequence[ImageRef], options: BatchOptions) -> Sequence[ImageRef]:
        before = survey(self._ledger, images, options.selection, near=options.near)
        self._sharing = self._equipment.sharing(self._ledger, nothing_left=not before.todo)
        self.counts = Counts(
            found=len(images),
            wanted=before.wanted,
            records_before=before.records,
            failures_before=before.failures,
            renamed=before.renamed,
        )
        self._observer.progress(self.counts)
        return before.todo

    def _pending(self, todo: Sequence[ImageRef]) -> Iterator[ImageFile]:
        """Yield the photos that the model has to describe; give all others their outcome right here."""
        for image, file, look in opened(((image, self._open(image)) for image in todo), self._equipment.looker):
            if self._observer.stop.is_set():
                return
            if not self._observer.ready(image):  # asked after the file was read: it may have changed meanwhile
                continue
            if isinstance(file, Failure):
                self._keep(file, [image])
            elif kind := self._ledger.adopt(file.ref, file.sha256):
                self._count(1, failed=kind == FAILURE, equal=1)
            elif (same := self._same(file)) in self._waiting:
                self._waiting[same].append(file.ref)
            else:
                self._waiting[same] = []
                settled = self._sharing.follow(file, look)
                if settled is None:
                    self._at_work[file.ref.name] = file
                    yield file
                else:
                    self._finish(settled)

    def _same(self, file: ImageFile) -> str:
        """Return what equal photos have in common."""
        return self._ledger.identity(file.sha256, file.ref.path) or ""

    def _open(self, image: ImageRef) -> ImageFile | Failure:
        """Read and hash a photo, and take the time."""
        started_ns = time.monotonic_ns()
        file = self._read(image)
        self._tally.read_ns += time.monotonic_ns() - started_ns
        return file

    def _read(self, image: ImageRef) -> ImageFile | Failure:
        """Read and hash a photo, unless the ledger has its digest and it has not changed since.

        Photos in archives are always read here, because some archives can only be read in their order.
        """
        digest = self._ledger.digest(image)
        if digest is not None and image.archive is None:
            return ImageFile(image, digest)
        try:
            self._refuse_unsupported(image)
            ref, data = read(image)
        except (ImageError, PluginError) as error:
            return Failure(image.name, None, kind_of(error), error.message, error.hint)
        except OSError as error:
            message = f"the file cannot be opened: {error.strerror or error}"
            return Failure(image.name, None, FailureKind.UNREADABLE, message)
        return ImageFile(ref, hashlib.sha256(data).hexdigest(), data)

    def _refuse_unsupported(self, image: ImageRef) -> None:
        """Refuse a file that no loader reads, without reading it whole: camera raw files are large."""
        if image.archive is not None:
            return  # it is read once, as a whole
        if check_installed(image.path.suffix, self._plugins.image_loaders):
            return
        header = read(image, most=HEADER_BYTES)[1]
        choose_loader(header, image.path.suffix, self._plugins.image_loaders)

    def _commit(self, outcome: Outcome) -> None:
        """Keep an outcome that the executor gave, for its photo and all that waited for it."""
        file = self._at_work.pop(outcome.file, None)
        if file is None:
            message = f"the executor `{self._executor}` gave an outcome for `{outcome.file}` that nobody asked for"
            raise PluginError(message)
        self._tally.add(outcome)
        if self.page is not None and not isinstance(outcome, Failure):
            started_ns = time.monotonic_ns()
            self.page.keep(outcome)
            self._tally.page_ns += time.monotonic_ns() - started_ns
        self._finish(self._sharing.settle(outcome, file))

    def _finish(self, settled: Iterator[Settled]) -> None:
        """Keep outcomes, each for its photo and all with the same bytes."""
        for done in settled:
            images = [done.file.ref, *self._waiting.pop(self._same(done.file))]
            if done.outcome is None:
                self._again += images
            else:
                self._keep(done.outcome, images, copied=done.copied)

    def _show(self, stopped: Callable[[], bool]) -> None:
        """Bring the page up to date, unless the targets are as an earlier run left them."""
        if self.page is not None and self._writer.started:
            started_ns = time.monotonic_ns()
            self.page.write(notice=self._observer.notice, stopped=stopped)
            self._tally.page_ns += time.monotonic_ns() - started_ns

    def _keep(
        self, outcome: Record | CopiedRecord | Failure, images: Sequence[ImageRef], *, copied: bool = False
    ) -> None:
        self._ledger.commit(outcome, images)
        self._writer.append()
        failed = isinstance(outcome, Failure)
        self._count(len(images), failed=failed, equal=len(images) - 1, copied=int(copied))

    def _count(self, photos: int, *, failed: bool, equal: int, copied: int = 0) -> None:
        counts = self.counts
        self.counts = replace(
            counts,
            records=counts.records + (0 if failed else photos),
            failures=counts.failures + (photos if failed else 0),
            equal=counts.equal + equal,
            copied=counts.copied + copied,
        )
        self._observer.progress(self.counts)

    def _report(self, status: Status, output: Path, about: dict[str, Any]) -> None:
        numbers = certainties(self._ledger)
        unsure, unrecognised = numbers.get(Certainty.UNSURE, 0), numbers.get(Certainty.UNRECOGNISED, 0)
        seen = self._ledger.reviews.count(self._ledger.recipe_key)
        self.counts = replace(
            self.counts,
            unsure=unsure,
            unrecognised=unrecognised,
            approved=seen.approved,
            edited=seen.edited,
            rejected=seen.rejected,
        )
        report = self._tally.to_json(status, self.counts, write_ns=self._writer.write_ns)
        write_report(output, {**report, **about})
