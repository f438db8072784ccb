"""The loop around a runner: admit requests from clients in turns, prepare, step, send chunks, cancel.

Two threads work here. One prepares requests, and one does everything else: so a long prompt is prepared while others
are answered. The loop is the same in a runner's process and, for tests, in threads of the test's process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from olpipe.embedding import EmbedRequest
from olpipe.engine.protocol import (
    Answer,
    Answered,
    Begun,
    Cancel,
    Embed,
    Embedded,
    ErrorValue,
    Refused,
    Submit,
    Tokenize,
    Tokenized,
)
from olpipe.engine.waiting import Waiting, WaitingRoom
from olpipe.errors import OlpipeError, UsageError, cannot_see
from olpipe.generation import Chunk, GenerateRequest, Timings, Usage
from olpipe.interfaces import Prepared, Runner
from olpipe.model import RunnerInfo
from olpipe.tokens import CountRequest, TokenizeRequest, TokenRequest, Tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Close:
    """End the loop; what waits or runs is dropped."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request that was prepared, or could not be."""

    sequence_id: int
    prepared: Prepared | Exception


@dataclass(frozen=True, slots=True)
class _Told:
    """A request about tokens that was answered, or could not be."""

    sequence_id: int
    tokens: Tokens | Exception


@dataclass(slots=True)
class _Slot:
    """What is known of a request that has a slot.

    Attributes:
        queue_ns: How long it waited for the slot.
        cut: What was left out of its prompt.
    """

    queue_ns: int
    cut: Usage = field(default_factory=Usage)


class Worker:
    """Feeds one runner; `post` may be called from any thread."""

    def __init__(self, send: Callable[[Answer], None], whose: str = "the runner") -> None:
        """Make a worker.

        Args:
            send: Takes the answers. It is called from the thread of `run` only.
            whose: Begins the message about an error of the runner's own code: "the backend `onnx`".
        """
        self._send = send
        self._whose = whose
        self._inbox: SimpleQueue[Waiting | Tokenize | Cancel | _Ready | _Told | Close] = SimpleQueue()
        self._waiting = WaitingRoom()
        self._to_prepare: SimpleQueue[tuple[int, GenerateRequest | TokenRequest] | None] = SimpleQueue()
        self._preparing: set[int] = set()
        self._counting: set[int] = set()  # requests about tokens
        self._slots: dict[int, _Slot] = {}

    def post(self, command: Submit | Embed | Tokenize | Cancel | Close) -> None:
        """Hand a command over and return at once."""
        waits = isinstance(command, Submit | Embed)
        self._inbox.put(Waiting(command, time.monotonic_ns()) if waits else command)  # type: ignore[arg-type]

    def run(self, runner: Runner) -> None:
        """Work until `Close` is posted; the runner is left open."""
        preparer = threading.Thread(target=self._prepare, args=(runner,), name="prepare", daemon=True)
        preparer.start()
        try:
            while self._take_commands(runner):
                self._admit(runner)
                if len(self._slots) > len(self._preparing):
                    self._step(runner)
        finally:
            self._preparing.clear()
            self._counting.clear()
            self._to_prepare.put(None)
            preparer.join()

    def _prepare(self, runner: Runner) -> None:
        """Prepare requests, one after the other, and answer those about tokens between them."""
        while (item := self._to_prepare.get()) is not None:
            sequence_id, request = item
            if sequence_id not in self._preparing and sequence_id not in self._counting:
                continue  # it was cancelled, so it is not worth preparing
            if not isinstance(request, GenerateRequest):
                self._inbox.put(_Told(sequence_id, _tokens(runner, request)))
                continue
            prepared: Prepared | Exception
            try:
                prepared = runner.prepare(request)
            except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
                prepared = error
            self._inbox.put(_Ready(sequence_id, prepared))

    def _take_commands(self, runner: Runner) -> bool:
        """Empty the inbox; return False on `Close`. Wait for a first command where there is nothing else to do."""
        idle = len(self._slots) == len(self._preparing) and not (self._waiting and self._has_slot(runner))
        while True:
            try:
                command = self._inbox.get(block=idle)
            except Empty:
                return True
            idle = False
            if isinstance(command, Close):
                return False
            if isinstance(command, Cancel):
                self._cancel(runner, command.sequence_id)
            elif isinstance(command, _Ready):
                self._start(runner, command)
            elif isinstance(command, _Told):
                self._tell(command)
            elif isinstance(command, Tokenize):
                self._count(runner, command)
            else:
                self._waiting.add(command)

    def _has_slot(self, runner: Runner) -> bool:
        return len(self._slots) < runner.info.slots

    def _admit(self, runner: Runner) -> None:
        """Let waiting requests in while there are free slots, and make at most one request's embeddings.

        Texts are embedded between two steps. Cancels and other answers wait for that, so only one request has its turn.
        """
        while self._waiting and self._has_slot(runner):
            waiting = self._waiting.take()
            sequence_id, request = waiting.command.sequence_id, waiting.command.request
            self._send(Begun(sequence_id))
            try:
                _check(request, runner.info)
                if isinstance(request, EmbedRequest):
                    self._embed(runner, sequence_id, request, time.monotonic_ns() - waiting.arrived_ns)
                    return
            except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
                self._refuse(sequence_id, error)
                continue
            self._slots[sequence_id] = _Slot(time.monotonic_ns() - waiting.arrived_ns)
            self._preparing.add(sequence_id)
            self._to_prepare.put((sequence_id, request))

    def _embed(self, runner: Runner, sequence_id: int, request: EmbedRequest, queue_ns: int) -> None:
        embeddings = runner.embed(request)
        timings = replace(embeddings.timings, queue_ns=queue_ns)
        self._send(Embedded(sequence_id, replace(embeddings, timings=timings)))

    def _count(self, runner: Runner, command: Tokenize) -> None:
        """Have a request about tokens answered by the thread that prepares. It needs no slot."""
        self._send(Begun(command.sequence_id))
        try:
            if isinstance(command.request, CountRequest):
                _check(command.request.prompt, runner.info)
        except OlpipeError as error:
            self._refuse(command.sequence_id, error)
            return
        self._counting.add(command.sequence_id)
        self._to_prepare.put((command.sequence_id, command.request))

    def _tell(self, told: _Told) -> None:
        """Send the answer to a request about tokens, unless it was cancelled meanwhile."""
        if told.sequence_id not in self._counting:
            return
        self._counting.discard(told.sequence_id)
        if isinstance(told.tokens, Exception):
            self._refuse(told.sequence_id, told.tokens)
        else:
            self._send(Tokenized(told.sequence_id, told.tokens))

    def _start(self, runner: Runner, ready: _Ready) -> None:
        """Start a request that was prepared. If it was cancelled meanwhile, drop it."""
        self._preparing.discard(ready.sequence_id)
        if ready.sequence_id not in self._slots:
            return
        try:
            if isinstance(ready.prepared, Exception):
                raise ready.prepared
            cut = Usage(cut_messages=ready.prepared.cut_messages, cut_tokens=ready.prepared.cut_tokens)
            self._slots[ready.sequence_id].cut = cut
            runner.start(ready.sequence_id, ready.prepared)
        except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
            del self._slots[ready.sequence_id]
            self._refuse(ready.sequence_id, error)

    def _step(self, runner: Runner) -> None:
        """Advance all running sequences by one step.

        An exception fails all of them, and nothing that waits. An error in place of a chunk fails one sequence.
        """
        try:
            chunks = runner.step()
            strangers = {sequence_id for sequence_id, _ in chunks} - (self._slots.keys() - self._preparing)
            if strangers:  # nobody would ever hear of it, and those that were given might wait for ever
                raise ValueError(f"it answered sequence {min(strangers)}, which it was not given")
        except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
            for sequence_id in self._slots.keys() - self._preparing:
                self._stop(runner, sequence_id)
                self._refuse(sequence_id, error)
            return
        for sequence_id, chunk in chunks:
            if sequence_id not in self._slots:
                continue
            if isinstance(chunk, OlpipeError):
                del self._slots[sequence_id]
                self._refuse(sequence_id, chunk)
            else:
                self._send(Answered(sequence_id, self._finished(sequence_id, chunk)))

    def _finished(self, sequence_id: int, chunk: Chunk) -> Chunk:
        """If a chunk is the last one of its sequence, add what only this class knows to it, and free the slot."""
        if chunk.finish_reason is None:
            return chunk
        slot = self._slots.pop(sequence_id)
        timings = replace(chunk.timings or Timings(), queue_ns=slot.queue_ns)
        return replace(chunk, timings=timings, usage=(chunk.usage or Usage()) + slot.cut)

    def _cancel(self, runner: Runner, sequence_id: int) -> None:
        if sequence_id in self._counting:
            self._counting.discard(sequence_id)
        elif sequence_id in self._preparing:
            del self._slots[sequence_id]
            self._preparing.discard(sequence_id)
        elif sequence_id in self._slots:
            self._stop(runner, sequence_id)
        else:
            self._waiting.drop(sequence_id)

    def _stop(self, runner: Runner, sequence_id: int) -> None:
        del self._slots[sequence_id]
        try:
            runner.stop(sequence_id)
        except Exception:
            logger.exception("the runner could not stop sequence %d", sequence_id)

    def _refuse(self, sequence_id: int, error: Exception) -> None:
        if not isinstance(error, OlpipeError):
            logger.error("sequence %d failed", sequence_id, exc_info=error)
        self._send(Refused(sequence_id, ErrorValue.of(error, self._whose)))


def _tokens(runner: Runner, request: TokenRequest) -> Tokens | Exception:
    """Answer a request about tokens. An error is returned, because another thread has to send it."""
    try:
        if isinstance(request, CountRequest):
            return Tokens(int(runner.count_tokens(request)))
        if isinstance(request, TokenizeRequest):
            tokens = tuple(map(int, runner.tokenize(request)))  # numpy's numbers cannot be sent
            return Tokens(len(tokens), tokens)
        return Tokens(len(request.tokens), text=runner.detokenize(request))
    except Exception as error:  # noqa: BLE001 - it is sent to whoever asked
        return error


def _check(request: GenerateRequest | EmbedRequest, info: RunnerInfo) -> None:
    """Refuse what the runner's `info` says that it does not do, so that no runner can ignore it."""
    if isinstance(request, EmbedRequest):
        if not info.embeds:
            raise UsageError(f"`{request.model}` makes no embeddings")
        return
    if not info.generates:
        raise UsageError(f"`{request.model}` does not write answers, it makes embeddings")
    if request.guidance is not None and not info.guidance:
        raise UsageError(f"`{request.model}` cannot hold its answer to a format", hint="ask without one")
    if not info.fit_pixels and any(message.images for message in request.messages):
        raise cannot_see(request.model)
