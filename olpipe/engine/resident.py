"""One model in memory: its process, what waits for it, and how long it stays.

No lock is held while something is built, loaded or waited for. A thread of its own starts the process, whenever there
are requests and no process that would take them: at first, after a crash, when the process has grown too large, and
after the model had to make room for another one.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from olpipe import machine
from olpipe.engine.limits import Limits, stalled
from olpipe.engine.process import RunnerProcess
from olpipe.engine.protocol import ErrorValue, Load
from olpipe.engine.ticket import Ticket, Waiters
from olpipe.errors import BackendCrashed, Busy, UsageError
from olpipe.generation import GenerateRequest
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import RunnerInfo

logger = logging.getLogger(__name__)

MOST_CRASHES = 3
"""After this many crashes in a row, without one finished request between them, a model is given up for a while."""

GIVEN_UP_S = 60.0
"""How long a model is given up. Then it is tried once more, and given up again if its process crashes."""

GROWTH_BYTES = 1 << 30
"""A process without a limit of its own may take twice the memory that it took after loading, plus this."""

POLL_S = 0.05
"""How often a waiting thread checks whether its result is still wanted."""


CLOSING_S = 5.0
"""How long closing waits for a thread that builds, loads or pulls. Where it can, the thread looks every `POLL_S`."""


class Abandoned(BaseException):
    """Nobody waits any more for what is being done.

    It is not an `Exception`, so that a plugin's `except Exception` lets it through.
    """


class Host(Protocol):
    """The engine as its models see it."""

    def make_room(self, resident: Resident, wanted: Callable[[], bool]) -> int:
        """Wait until a model may be loaded; returns the threads that it gets.

        Raises:
            Abandoned: `wanted` no longer holds.
        """

    def build(self, load: Load, progress: ProgressCallback) -> Load:
        """Choose the backend where none was asked for, and make what loading needs; return what the process is told."""

    def notice(self) -> None:
        """Check soon which models have to be unloaded. It may be called from anywhere, and takes no lock."""


class Resident:
    """A model that is, or may be, in memory. Any thread may call it.

    Attributes:
        load: What it is, and how it is loaded.
        occupied: Whether it takes a place among the loaded models.
        keep_alive_s: How long it stays when nobody asks it anything.
        info: What it can do, once it has been loaded.
        progress: How far building and loading it is; None while nothing of that is going on.
        asked_context: The context length that the last request asked for; 0 where it asked for none.
    """

    def __init__(self, load: Load, host: Host, limits: Limits, progress: ProgressCallback) -> None:
        """Remember how to load the model, without loading it."""
        self.load = load
        self.occupied = False
        self.keep_alive_s = math.inf
        self.info: RunnerInfo | None = None
        self.progress: Progress | None = None
        self.asked_context = 0
        self._host = host
        self._limits = limits
        self._progress = progress
        self._lock = threading.Lock()  # never held while anything is waited for
        self._waiters = Waiters()
        self._process: RunnerProcess | None = None
        self._all: set[RunnerProcess] = set()  # those that are not closed yet
        self._bringer: threading.Thread | None = None
        self._bringing = self._leaving = self._gives_way = self._retires = self._closed = self._dismissed = False
        self._most_bytes = 0
        self._crash: ErrorValue | None = None
        self._crashes = 0
        self._crashed_at_s = 0.0

    # --- requests -------------------------------------------------------------------------------

    def submit(self, ticket: Ticket, keep_alive_s: float | None) -> bool:
        """Answer a request, or tell its ticket why not. Return False, and do nothing, where this was dismissed.

        Args:
            ticket: The request.
            keep_alive_s: How long the model stays from now on. None changes nothing, or takes the usual value where
                the model has to be loaded.
        """
        with self._lock:
            if self._dismissed:
                return False
            if ticket.request is not None and self._is_full():
                message = f"`{self.load.bundle.name}` is busy: {self._limits.max_queue} requests wait for it"
                ticket.end(Busy(message, hint="try again in a moment, or raise OLLAMA_MAX_QUEUE"))
                return True
            if keep_alive_s is not None:
                self.keep_alive_s = keep_alive_s
            elif self._process is None and not self._bringing:
                self.keep_alive_s = self._limits.stay_s
            if isinstance(ticket.request, GenerateRequest):
                self.asked_context = ticket.request.context_length
            if self._gives_way or not self._hand(ticket):
                self._wait(ticket)
            return True

    def _is_full(self) -> bool:
        return 0 < self._limits.max_queue <= self.waiting

    def _hand(self, ticket: Ticket) -> bool:
        """Give a ticket to the process; False where there is none that would take it."""
        process = self._process
        if process is None or self._retires or process.crash is not None:
            return False
        if ticket.request is None:
            ticket.end(self.info)
            process.used_at_s = time.monotonic()
            self._host.notice()  # it may stay for another time than before
            return True
        if self._has_grown(process):
            self._retires = True
            return False
        try:
            return process.take(ticket)
        except UsageError as error:
            ticket.end(error)
            return True

    def _wait(self, ticket: Ticket) -> None:
        """Let a ticket wait, and have a process started if that is needed."""
        if self._closed:
            ticket.cancel()
            return
        self._waiters.add(ticket)
        self._attend()

    def _attend(self) -> None:
        """Have a process started if something waits for one and nothing forbids it."""
        if self._bringing or self._leaving or self._gives_way or self._closed or not self._waiters:
            return
        self._bringing = True
        name = f"load {self.load.bundle.name}"
        self._bringer = threading.Thread(target=self._bring, name=name, daemon=True)
        self._bringer.start()

    # --- what it is doing -----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many requests have not begun."""
        process = self._process
        return len(self._waiters) + (process.waiting if process is not None else 0)

    @property
    def active(self) -> int:
        """How many requests are not answered."""
        process = self._process
        return len(self._waiters) + (process.open if process is not None else 0)

    @property
    def pid(self) -> int | None:
        """Its process's id, while one lives."""
        process = self._process
        return None if process is None or process.crash is not None else process.pid

    @property
    def is_loading(self) -> bool:
        """Whether its process is being started."""
        return self._bringing

    @property
    def is_idle(self) -> bool:
        """Whether it is loaded and has nothing to do."""
        return self._process is not None and not self._bringing and not self.active

    def expires_in_s(self) -> float:
        """Return how long it stays if nobody asks anything; infinity while it is at work, or if it stays for ever."""
        process = self._process
        if process is None or not self.is_idle:
            return math.inf
        return process.used_at_s + self.keep_alive_s - time.monotonic()

    # --- leaving --------------------------------------------------------------------------------

    def leave(self) -> bool:
        """End the process if it has nothing to answer; return False where it has.

        Waiting requests keep the process, unless the model was asked to give way. In that case they wait until the
        model gets a place again.
        """
        with self._lock:
            process = self._process
            if process is None or self._bringing or (process.open if self._gives_way else self.active):
                return False
            self._process = None
            self._leaving = True  # it keeps its place until the memory is free
        self._bury(process)
        with self._lock:
            self._leaving = self._retires = self.occupied = False
            self._attend()
        self._host.notice()
        return True

    def give_way(self, *, asked: bool) -> None:
        """Stop giving requests to the process, so that it can end soon; or give it requests again."""
        with self._lock:
            if self._gives_way == asked:
                return
            self._gives_way = asked
            if not asked:
                self._hand_over()

    def close(self) -> None:
        """End for good. Streams that are still open end as cancelled."""
        with self._lock:
            self._closed = True
            processes, bringer = list(self._all), self._bringer
        for ticket in self._waiters.take_all():
            ticket.cancel()
        for process in processes:
            process.close()
        if bringer is not None:
            bringer.join(CLOSING_S)
        self._process, self.occupied = None, False

    def dismiss(self) -> bool:
        """Take no further requests, if nothing is loaded and nothing waits. Return whether that is so."""
        with self._lock:
            at_rest = self._process is None and not (self._bringing or self._leaving or self.occupied or self._waiters)
            self._dismissed = self._dismissed or at_rest
            return self._dismissed

    # --- the process ----------------------------------------------------------------------------

    def _bring(self) -> None:
        """Start a process, and hand over what waits. Whatever goes wrong is told to everything that waits."""
        try:
            self._retire()
            process, info = self._start()
        except Abandoned:
            self._settle()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is sent to whoever asked
            self._fail(ErrorValue.of(error))
        else:
            self._serve(process, info)
        self._host.notice()

    def _serve(self, process: RunnerProcess, info: RunnerInfo) -> None:
        """Hand over what waits, even where the model is asked to give way: these requests are why it was loaded."""
        if self.info is None and (reason := info.ignored(self.load.options, process.backend)):
            logger.warning("OLLAMA_KV_CACHE_TYPE has no effect on `%s`: %s", self.load.bundle.name, reason)
        with self._lock:
            self._process, self.info, self.progress = process, info, None
            self._bringing = False
            process.used_at_s = time.monotonic()
            self._hand_over(loaded=True)

    def _hand_over(self, *, loaded: bool = False) -> None:
        """Give everything that waits to the process; what the process does not take goes on waiting."""
        for ticket in self._waiters.take_all():
            if loaded:
                ticket.loaded()
            if not self._hand(ticket):
                self._wait(ticket)

    def _settle(self) -> None:
        """End an attempt that nobody wants any more. If a ticket came since, a new attempt begins."""
        with self._lock:
            self._bringing, self.occupied, self.progress = False, False, None
            self._attend()

    def _fail(self, failure: ErrorValue) -> None:
        """End an attempt that failed. Requests whose name stands for another model by now are sent to that one."""
        with self._lock:
            self._bringing, self.occupied, self.progress = False, False, None
            waiting = self._waiters.take_all()
        for ticket in waiting:
            if ticket.send_again is None or not ticket.send_again(ticket, self.load.bundle.digest):
                ticket.end(failure.to_error())

    def _retire(self) -> None:
        """End a process that crashed, or that has grown too large. The latter first answers what it was asked."""
        process = self._process
        if process is None:
            return
        if process.crash is None:
            process.wait_idle()
        with self._lock:
            self._process, self._retires = None, False
        self._bury(process)

    def _start(self) -> tuple[RunnerProcess, RunnerInfo]:
        """Build and load the model."""
        # 1. Refuse a model that keeps crashing
        given_up = self._crashes >= MOST_CRASHES and time.monotonic() - self._crashed_at_s < GIVEN_UP_S
        if self._crash is not None and given_up:
            raise BackendCrashed(f"{self._crash.message}, {self._crashes} times in a row", hint=self._crash.hint)
        # 2. Wait for a place, then build the model
        threads = self._host.make_room(self, self._is_wanted)
        load = replace(self.load, options=replace(self.load.options, threads=threads))
        load = self._host.build(load, self._report)
        self._check_wanted()
        # 3. Start the process, and wait until it has loaded the model
        process = RunnerProcess(load, orphaned=self._take_over, answered=self._host.notice)
        self._all.add(process)
        self.progress, begun_s = Progress("loading", total=load.bundle.size_bytes), time.monotonic()
        try:
            while (info := process.wait_loaded(POLL_S)) is None:
                self._check_wanted()
                if time.monotonic() - begun_s > self._limits.load_s:
                    raise stalled(load.bundle, self._limits.load_s)
            self._check_wanted()
        except BackendCrashed:
            self._bury(process)
            raise
        except BaseException:
            self._end(process)
            raise
        # 4. Note how far it may grow
        size = machine.resident_bytes(process.pid) or 0
        self._most_bytes = self._limits.memory_bytes or 2 * size + GROWTH_BYTES
        return process, info

    def _is_wanted(self) -> bool:
        return bool(self._waiters) and not self._closed

    def _check_wanted(self) -> None:
        if not self._is_wanted():
            raise Abandoned

    def _report(self, progress: Progress) -> None:
        self._check_wanted()
        self.progress = progress
        self._progress(progress)

    def _take_over(self, tickets: list[Ticket]) -> None:
        """Let requests that the last process had not begun wait for the next one."""
        with self._lock:
            for ticket in tickets:
                self._wait(ticket)

    def _has_grown(self, process: RunnerProcess) -> bool:
        """Say whether a process takes more memory than it may; one that has served nobody yet never does."""
        size = machine.resident_bytes(process.pid) if process.served else None
        if size is None or size <= self._most_bytes:
            return False
        message = "the process of `%s` takes %d MiB of %d: it is replaced"
        logger.info(message, self.load.bundle.name, size >> 20, self._most_bytes >> 20)
        return True

    def _bury(self, process: RunnerProcess) -> None:
        """End a process that is not needed any more. If it had crashed, remember how."""
        crash = process.crash
        self._end(process)
        if crash is not None:
            self._crash, self._crashed_at_s = crash, time.monotonic()
            self._crashes = 1 if process.served else self._crashes + 1

    def _end(self, process: RunnerProcess) -> None:
        process.close()
        self._all.discard(process)
