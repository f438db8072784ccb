"""One runner's process as the parent sees it: start it, send requests, notice its death, close it."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import BinaryIO, cast

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.engine import codec, frames
from olpipe.engine.protocol import (
    LOADING,
    Answer,
    Begun,
    Cancel,
    Embed,
    Embedded,
    ErrorValue,
    Load,
    Loaded,
    Refused,
    Submit,
    Tokenize,
    Tokenized,
)
from olpipe.engine.stream import Stream
from olpipe.engine.ticket import Ticket
from olpipe.errors import BackendCrashed, OlpipeError, UsageError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.model import RunnerInfo
from olpipe.tokens import TokenRequest, Tokens

logger = logging.getLogger(__name__)

POLITE_S = 5.0
"""How long a process may take to end after its pipe was closed, and again after it was told to terminate."""

POLL_S = 0.01

# -P keeps the working folder off the module path: among the photos may be a file that is called like a module
COMMAND = (sys.executable, "-P", "-m", "olpipe.engine.child")


class RunnerProcess:
    """A process that runs one model. Every method may be called from any thread.

    Three threads serve it: one writes commands, so that no caller ever waits for the pipe; one reads
    answers into the streams' deliveries; one reads stderr.
    """

    def __init__(
        self,
        load: Load,
        *,
        orphaned: Callable[[list[Ticket]], None] | None = None,
        answered: Callable[[], None] | None = None,
    ) -> None:
        """Start the process and have it load the model, without waiting for it.

        Args:
            load: What to load, and how.
            orphaned: Called with the requests that had not begun when the process died, oldest first. It must return
                at once. Without it, these requests fail like those that had begun.
            answered: Called whenever a request has ended. It must return at once and take no lock, because a garbage
                collection may call it.

        Raises:
            UsageError: The options or the settings hold what cannot be sent, such as a number of more than 64 bits.
        """
        self._orphaned = orphaned
        self._answered = answered
        self._model = str(load.bundle.name)
        self.backend = load.backend
        """The name of the backend that runs the model."""
        self._ids = count(LOADING + 1)
        self._lock = threading.Lock()
        self.crash: ErrorValue | None = None
        """How the process died, once it has."""
        self.served = False
        """Whether it has finished any request."""
        self.used_at_s = time.monotonic()
        """When it was last used: when it last got a request, or sent part of an answer."""
        self._closing = False
        self._listens = False  # until the model is loaded
        self._loaded: SimpleQueue[RunnerInfo | OlpipeError] = SimpleQueue()
        self._open: dict[int, Ticket] = {}
        self._outbox: SimpleQueue[frames.Frame | None] = SimpleQueue()
        self._last_words = ""
        try:
            self._outbox.put(codec.encode(load))
        except frames.FrameError as error:
            message = f"`{self._model}` cannot be loaded in this way: {error}"
            raise UsageError(message, hint="give smaller numbers in options and settings") from error
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe)
        jobs = (self._write, self._read_stderr, self._read)
        self._threads = [
            threading.Thread(target=job, name=f"{job.__name__} {self._model}", daemon=True) for job in jobs
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def open(self) -> int:
        """How many requests it has, those that have not begun included."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """How many requests it has not begun."""
        return sum(not ticket.begun for ticket in list(self._open.values()))

    def wait_loaded(self, timeout_s: float | None = None) -> RunnerInfo | None:
        """Wait until the model is loaded. Only one call gets the result.

        Args:
            timeout_s: How long to wait; None waits as long as it takes.

        Returns:
            What the model can do, or None when the time was up.

        Raises:
            OlpipeError: What the backend raised, or `BackendCrashed`.
        """
        try:
            loaded = self._loaded.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(loaded, OlpipeError):
            raise loaded
        return loaded

    def submit(self, request: GenerateRequest, client: str = "") -> Stream:
        """Send a client's request and return its answer's stream.

        Raises:
            BackendCrashed: The process died since it was loaded.
            UsageError: The request is too large, or holds what cannot be sent.
        """
        ticket = Ticket(request, client)
        if not self.take(ticket):
            assert self.crash is not None
            raise self.crash.to_error()
        return ticket.stream()

    def take(self, ticket: Ticket) -> bool:
        """Send a ticket's request; False when the process has died.

        Raises:
            UsageError: The request is too large, or holds what cannot be sent.
        """
        request, sequence_id = ticket.request, next(self._ids)
        assert request is not None
        try:
            frame = codec.encode(_command(sequence_id, request, ticket.client))
            codec.decode(frame)  # checked here: a frame that it cannot read ends the process and all its answers
        except frames.FrameError as error:
            raise UsageError(f"the request cannot be sent: {error}", hint="send less text or smaller images") from error
        with self._lock:
            if self.crash is not None:
                return False
            self.used_at_s = time.monotonic()
            self._open[sequence_id] = ticket
            ticket.withdraw = partial(self._withdraw, sequence_id)
        self._outbox.put(frame)
        if ticket.cancelled:
            self._withdraw(sequence_id)
        return True

    def wait_idle(self) -> None:
        """Wait until every request has been answered or cancelled, or the process has died."""
        while self._open:
            time.sleep(POLL_S)  # a cancel cannot notify anybody: it may run inside a garbage collection

    def close(self) -> None:
        """End the process: ask, then terminate, then kill. Streams still open end as cancelled."""
        self._closing = True
        self._outbox.put(None)
        if not self._listens:
            self._process.terminate()  # while it loads, it has nothing to finish
        for end in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(POLITE_S)
                break
            except subprocess.TimeoutExpired:
                end()
        self._process.wait()
        for thread in self._threads:
            thread.join(POLITE_S)

    def _withdraw(self, sequence_id: int) -> None:
        # No lock: a garbage collection may call this in a thread that holds it, and `pop` is atomic anyway
        self.used_at_s = time.monotonic()
        if self._open.pop(sequence_id, None) is not None:
            self._outbox.put(codec.encode(Cancel(sequence_id)))
            self._tell_answered()

    def _write(self) -> None:
        """Write frames until told to close; then, or when the process is gone, close the pipe."""
        pipe = cast(BinaryIO, self._process.stdin)
        try:
            while (frame := self._outbox.get()) is not None:
                frames.write(pipe, frame)
        except OSError:
            logger.debug("the process of `%s` takes no more", self._model)
        with suppress(OSError):  # closing flushes the buffer, which fails when the process is dead
            pipe.close()

    def _read_stderr(self) -> None:
        with cast(BinaryIO, self._process.stderr) as pipe:
            for line in pipe:
                text = line.decode(errors="replace").rstrip()
                self._last_words = text or self._last_words
                logger.debug("%s: %s", self._model, text)

    def _read(self) -> None:
        """Deliver answers until the pipe closes; then end whatever is still open."""
        problem: ValueError | None = None
        try:
            with cast(BinaryIO, self._process.stdout) as pipe:
                while (frame := frames.read(pipe)) is not None:
                    self._route(cast(Answer, codec.decode(frame)))
        except ValueError as error:  # not a frame, not a packet, or not an error of olpipe
            problem = error
        finally:  # whatever happened, nobody must wait for ever
            self._outbox.put(None)
            self._end(problem)

    def _route(self, answer: Answer) -> None:
        if isinstance(answer, Loaded):
            self._listens = True
            self._loaded.put(answer.info)
        elif isinstance(answer, Begun):
            ticket = self._open.get(answer.sequence_id)
            if ticket is not None:
                ticket.begun = True
        elif answer.sequence_id == LOADING and isinstance(answer, Refused):
            self._loaded.put(answer.error.to_error())
        elif isinstance(answer, Refused):
            self._deliver(answer.sequence_id, answer.error.to_error())
        elif isinstance(answer, Embedded):
            self._deliver(answer.sequence_id, answer.embeddings)
        elif isinstance(answer, Tokenized):
            self._deliver(answer.sequence_id, answer.tokens)
        else:
            self._deliver(answer.sequence_id, answer.chunk)

    def _deliver(self, sequence_id: int, item: Chunk | Embeddings | Tokens | OlpipeError) -> None:
        """Hand an item to whoever reads the answer. What comes after a cancel is dropped."""
        last = not isinstance(item, Chunk) or item.finish_reason is not None
        self.used_at_s = time.monotonic()  # set before the request is gone and the process looks idle
        ticket = self._open.pop(sequence_id, None) if last else self._open.get(sequence_id)
        self.served = self.served or last
        if ticket is None:
            return
        if last and ticket.load_ns and isinstance(item, Chunk | Embeddings) and item.timings is not None:
            item = replace(item, timings=replace(item.timings, load_ns=ticket.load_ns))
        if last:
            ticket.end(item)
            self._tell_answered()
        else:
            ticket.delivery.put(item)

    def _tell_answered(self) -> None:
        if self._answered is not None:
            self._answered()

    def _end(self, problem: ValueError | None) -> None:
        """Fail what had begun, and hand back what had not."""
        crash = ErrorValue.of(self._autopsy(problem))
        with self._lock:
            closing = self._closing  # read before anybody learns of the crash, and closes the process for it
            self.crash = crash
            tickets, self._open = list(self._open.values()), {}
        orphans = []
        for ticket in tickets:
            ticket.withdraw = None
            if closing:
                ticket.cancel()
            elif ticket.begun or self._orphaned is None:
                ticket.end(crash.to_error())
            else:
                orphans.append(ticket)
        self._loaded.put(crash.to_error())
        if orphans and self._orphaned is not None:
            self._orphaned(orphans)
        self._tell_answered()

    def _autopsy(self, problem: ValueError | None) -> BackendCrashed:
        """Find out how the process died."""
        try:
            code = self._process.wait(POLITE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._threads[1].join(POLITE_S)  # the thread that reads stderr: its last words must be here
        if problem is not None:
            how = f"broke off: {problem}"
        else:
            how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        said = f"it said last: `{self._last_words}`; " if self._last_words else ""
        memory = "the machine may have run out of memory; " if code == -9 else ""
        hint = f"{said}{memory}run again with OLPIPE_DEBUG=1 to see everything it says"
        return BackendCrashed(f"the process that runs `{self._model}` {how}", hint=hint)


def _command(
    sequence_id: int, request: GenerateRequest | EmbedRequest | TokenRequest, client: str
) -> Submit | Embed | Tokenize:
    """Return the command that has a request answered."""
    if isinstance(request, GenerateRequest):
        return Submit(sequence_id, request, client)
    return Embed(sequence_id, request, client) if isinstance(request, EmbedRequest) else Tokenize(sequence_id, request)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
