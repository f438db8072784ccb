"""The loop around a runner: admit requests, clients in turns, step, route chunks, cancel.

It is the same in a runner's process and, for tests, in a thread of this one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from olpipe.engine.protocol import Answer, Answered, Begun, Cancel, ErrorValue, Refused, Submit
from olpipe.engine.waiting import Waiting, WaitingRoom
from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Timings
from olpipe.interfaces import Runner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Close:
    """End the loop; what waits or runs is dropped."""


class Worker:
    """Feeds one runner from one thread; `post` may be called from any."""

    def __init__(self, send: Callable[[Answer], None]) -> None:
        """Make a worker that answers through `send`, which it calls from the thread of `run` only."""
        self._send = send
        self._inbox: SimpleQueue[Waiting | Cancel | Close] = SimpleQueue()
        self._waiting = WaitingRoom()
        self._queue_ns: dict[int, int] = {}  # the sequences that run, and how long each waited for its slot

    def post(self, command: Submit | Cancel | Close) -> None:
        """Hand a command over and return at once."""
        self._inbox.put(Waiting(command, time.monotonic_ns()) if isinstance(command, Submit) else command)

    def run(self, runner: Runner) -> None:
        """Work until `Close` is posted; the runner is left open."""
        while self._take_commands(runner):
            self._admit(runner)
            if self._queue_ns:
                self._step(runner)

    def _take_commands(self, runner: Runner) -> bool:
        """Empty the inbox, waiting for the first command when there is nothing else to do."""
        idle = not (self._waiting or self._queue_ns)
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
            else:
                self._waiting.add(command)

    def _admit(self, runner: Runner) -> None:
        """Start waiting requests while there are free slots."""
        while self._waiting and len(self._queue_ns) < runner.info.slots:
            waiting = self._waiting.take()
            sequence_id = waiting.submit.sequence_id
            queue_ns = time.monotonic_ns() - waiting.arrived_ns
            self._send(Begun(sequence_id))
            try:
                runner.start(sequence_id, runner.prepare(waiting.submit.request))
            except Exception as error:  # noqa: BLE001 - it travels to whoever asked
                self._refuse(sequence_id, error)
            else:
                self._queue_ns[sequence_id] = queue_ns

    def _step(self, runner: Runner) -> None:
        """Advance what runs by one step; when that fails, fail just these, or the one that has the trouble."""
        try:
            chunks = runner.step()
        except Exception as error:  # noqa: BLE001 - it travels to whoever asked
            for sequence_id in list(self._queue_ns):
                self._stop(runner, sequence_id)
                self._refuse(sequence_id, error)
            return
        for sequence_id, chunk in chunks:
            if sequence_id not in self._queue_ns:
                continue
            if isinstance(chunk, OlpipeError):
                del self._queue_ns[sequence_id]
                self._refuse(sequence_id, chunk)
            else:
                self._send(Answered(sequence_id, self._finished(sequence_id, chunk)))

    def _finished(self, sequence_id: int, chunk: Chunk) -> Chunk:
        """Add the time in the queue to a last chunk, and free the slot."""
        if chunk.finish_reason is None:
            return chunk
        timings = chunk.timings or Timings()
        return replace(chunk, timings=replace(timings, queue_ns=self._queue_ns.pop(sequence_id)))

    def _cancel(self, runner: Runner, sequence_id: int) -> None:
        if sequence_id in self._queue_ns:
            self._stop(runner, sequence_id)
        else:
            self._waiting.drop(sequence_id)

    def _stop(self, runner: Runner, sequence_id: int) -> None:
        del self._queue_ns[sequence_id]
        try:
            runner.stop(sequence_id)
        except Exception:
            logger.exception("the runner could not stop sequence %d", sequence_id)

    def _refuse(self, sequence_id: int, error: Exception) -> None:
        if not isinstance(error, OlpipeError):
            logger.error("sequence %d failed", sequence_id, exc_info=error)
        self._send(Refused(sequence_id, ErrorValue.of(error)))
