"""Watch folders: run a batch over what has arrived, again and again, with one engine.

Each group of photos is a run of its own, as `run_batch` makes it. Between two groups, only the lock of the watch is
held. The ledger is closed, so other commands can use the output folder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from filelock import FileLock, Timeout

from olpipe.describing.describer import PREPARING_S
from olpipe.describing.recipe import Recipe
from olpipe.engine.manager import Engine
from olpipe.errors import OutputBusy
from olpipe.image import ImageRef
from olpipe.imaging.discover import Discovery
from olpipe.imaging.settling import Settling, is_being_written, is_unchanged
from olpipe.imaging.watched import WatchedFolders
from olpipe.pipeline.ledger import LEDGER_PATH
from olpipe.pipeline.output import writing
from olpipe.pipeline.report import Counts
from olpipe.pipeline.run import BatchOptions, BatchResult, Observer, run_batch
from olpipe.plugins import Plugins
from olpipe.settings import Settings

LOCK_NAME = "watch.lock"
REST_S = 2.0
"""The folders are looked into at most so often, and twice in the time that photos have to settle if that is shorter."""

REST_FACTOR = 30
"""Looking takes at most one part in so many of the time where nothing changes: the rest grows with the folders."""

LEAST_REST_S = 0.05
LONGEST_REST_S = 300.0
GROUP_S = 300.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a watch waits for what.

    Attributes:
        settle_s: A photo is described when it has not changed for so long.
        group_s: After so long, a group ends, and the page is brought up to date. Its other photos come in the next one.
    """

    settle_s: float
    group_s: float = GROUP_S


@dataclass(frozen=True, slots=True)
class Watched:
    """How a watch is going.

    Attributes:
        folders: How many folders are watched.
        described: Photos that got a record since the watch began.
        failed: Photos that failed since then.
        arriving: Photos that have not settled.
        left: Photos of the group in work that have no outcome yet.
    """

    folders: int
    described: int = 0
    failed: int = 0
    arriving: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Teller:
    """How a watch tells its caller what happens.

    Attributes:
        changed: Called with how it is going, after every change.
        notice: Called with a line that the user should read.
        looked: Called with what is in the folders, when they were looked into for the first time.
        finished: Called with the counts of each group, and with the names of the targets.
    """

    changed: Callable[[Watched], None]
    notice: Callable[[str], None]
    looked: Callable[[Discovery], None]
    finished: Callable[[BatchResult], None]


@dataclass(slots=True)
class _Group:
    """One run and what became of its photos."""

    stop: threading.Event = field(default_factory=threading.Event)
    in_work: bool = False  # whether there are photos that have to be finished
    begun: list[ImageRef] = field(default_factory=list)
    busy: list[ImageRef] = field(default_factory=list)


class Watch:
    """Describes photos as they arrive. `run` belongs to one thread, `end` to a handler of signals in the same one."""

    def __init__(
        self,
        folders: WatchedFolders,
        recipe: Recipe,
        options: BatchOptions,
        teller: Teller,
        *,
        pace: Pace,
        plugins: Plugins,
        engine: Engine,
        settings: Settings,
    ) -> None:
        """Watch nothing yet.

        Args:
            folders: Where photos arrive.
            recipe: What is asked.
            options: Where records go, and which photos get one. What is to be tried again is tried once.
            teller: Told what happens.
            pace: How long it waits for what.
            plugins: As `run_batch` takes them.
            engine: Keeps the model between groups, as long as the settings say.
            settings: How models are loaded.
        """
        self._folders = folders
        self._recipe = recipe
        keep_s = settings.keep_alive_s
        # While a group is in work, the model waits for photos that are slow to decode
        self._options = replace(options, keep_alive_s=keep_s if keep_s < 0 else max(keep_s, PREPARING_S))
        self._teller = teller
        self._plugins, self._engine, self._settings = plugins, engine, settings
        self._pace = pace
        self._settling = Settling(pace.settle_s)
        self._status = Watched(len(folders))
        self._group: _Group | None = None
        self._ended = False
        self._has_ledger = False
        self._said: set[str] = set()
        self._worked_s: float | None = None  # when the model was last needed

    # --- what the caller does -------------------------------------------------------------------

    def run(self) -> None:
        """Watch until `end` is called.

        Raises:
            OutputBusy: Somebody else watches for the same output folder.
            KeyboardInterrupt: Whoever calls `end` raises it where that returns False.
            UsageError: As `run_batch` raises it. So are all its other errors but one: while another command has the
                output folder, the watch waits.
        """
        with self._locked():
            found = self._look()
            self._bring_up_to_date(found, [])  # a mistake in the command is told now, and not with the first photo
            self._teller.looked(found)
            self._teller.changed(self._status)
            while not self._ended:
                found = self._look()
                settled = self._settling.settled(found.images)
                if settled:
                    self._bring_up_to_date(found, settled)
                self._tell(arriving=self._settling.waiting)
                if not self._ended:
                    self._rest()

    def end(self) -> bool:
        """Have the watch end when the photos in work are finished.

        Returns:
            Whether there are such photos. If not, nothing is lost when the caller interrupts `run`.
        """
        self._ended = True
        group = self._group
        if group is None or not group.in_work:
            return False
        group.stop.set()
        return True

    # --- groups ---------------------------------------------------------------------------------

    def _bring_up_to_date(self, found: Discovery, settled: Sequence[ImageRef]) -> None:
        """Describe the photos that have settled, as soon as the output folder is there and free."""
        output = self._options.output
        gone = f"`{output}` is not there: waiting until it is there again"
        busy = f"another command is at work in `{output}`: waiting until it ends"
        if self._has_ledger and not (output / LEDGER_PATH).exists():  # its drive was taken away: do not begin anew
            self._say(gone)
            return
        try:
            result = self._run_group(found, settled)
        except OutputBusy:
            self._say(busy)
            return
        self._has_ledger = True
        self._said -= {gone, busy}
        self._teller.finished(result)

    def _run_group(self, found: Discovery, settled: Sequence[ImageRef]) -> BatchResult:
        group = self._group = _Group()
        selection = replace(self._options.selection, paths=frozenset(image.path for image in settled))
        if not settled:
            selection = replace(selection, retry=frozenset())
        before, arriving = self._status, self._settling.waiting - len(settled)

        def progress(counts: Counts) -> None:
            group.in_work = True
            described, failed = before.described + counts.records, before.failed + counts.failures
            self._tell(described=described, failed=failed, arriving=arriving, left=counts.left)

        def ready(image: ImageRef) -> bool:
            if not is_unchanged(image):
                return False
            if is_being_written(image.path):
                group.busy.append(image)
                return False
            group.begun.append(image)
            return True

        timer = threading.Timer(self._pace.group_s, group.stop.set)
        timer.daemon = True
        timer.start()
        try:
            result = run_batch(
                found,
                self._recipe,
                replace(self._options, selection=selection),
                Observer(progress, self._say, group.stop, ready),
                plugins=self._plugins,
                engine=self._engine,
                settings=self._settings,
            )
        finally:
            timer.cancel()
            self._group = None
        self._settling.finish(group.begun if result.status == "interrupted" else settled)
        self._settling.put_off(group.busy)
        if settled:
            done = replace(self._options.selection, retry=frozenset())
            self._options = replace(self._options, selection=done)
        if group.begun:
            self._worked_s = time.monotonic()
        self._tell(arriving=self._settling.waiting, left=0)
        return result

    # --- between groups -------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from watching for the same output folder: two recipes would take turns in its files."""
        path = self._options.output / LEDGER_PATH.parent / LOCK_NAME
        with writing(self._options.output):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                message = f"another `olpipe watch` writes to `{self._options.output}`"
                raise OutputBusy(message, hint="end it first, or give another folder with `-o`") from None
        try:
            yield
        finally:
            lock.release()

    def _look(self) -> Discovery:
        """Look into the folders, and say which are missing, and which are there again."""
        before = self._folders.missing
        found = self._folders.look()
        for folder in self._folders.missing:
            if folder not in before:
                self._teller.notice(f"`{folder}` is not there: waiting until it is there again")
        for folder in before:
            if folder not in self._folders.missing:
                self._teller.notice(f"`{folder}` is there again")
        return found

    def _rest(self) -> None:
        """Do nothing for a while, and let the model make room when its time is up."""
        rest_s = max(LEAST_REST_S, min(REST_S, self._pace.settle_s / 2), REST_FACTOR * self._folders.glance_s)
        until_s = time.monotonic() + min(rest_s, LONGEST_REST_S)
        keep_s = self._settings.keep_alive_s
        if self._worked_s is not None and 0 <= keep_s < PREPARING_S:  # else the engine sees to it
            time.sleep(max(0.0, min(until_s, self._worked_s + keep_s) - time.monotonic()))
            if time.monotonic() >= self._worked_s + keep_s:
                self._worked_s = None
                for model in self._engine.loaded():
                    self._engine.unload(str(model.name))
        time.sleep(max(0.0, until_s - time.monotonic()))

    def _say(self, line: str) -> None:
        """Say a line once: every group has the same to say."""
        if line not in self._said:
            self._said.add(line)
            self._teller.notice(line)

    def _tell(self, **changes: int) -> None:
        status = replace(self._status, **changes)
        if status != self._status:
            self._status = status
            self._teller.changed(status)
