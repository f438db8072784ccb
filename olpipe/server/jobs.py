"""Long work that clients follow: a pull, the making of a model. Who asks for the same follows the same work.

The work ends early when nobody follows it any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable

from olpipe.errors import OlpipeError, first_line
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.server.bridge import LoopDelivery
from olpipe.server.refusal import Refusal

logger = logging.getLogger(__name__)

TELL_S = 0.1
"""How often followers are told about the same step."""

Work = Callable[[ProgressCallback], None]


class _Abandoned(BaseException):
    """Nobody follows the work any more.

    It is not an `Exception`, so that a plugin's `except Exception` lets it through.
    """


class _Job:
    """One piece of work, in a thread of its own.

    Attributes:
        ended: Whether it has ended, or is about to.
    """

    def __init__(self, what: str, work: Work) -> None:
        self.ended = False
        self._what = what
        self._work = work
        self._lock = threading.Lock()
        self._followers: list[LoopDelivery] = []
        self._told: dict[str, Progress] = {}  # the last word on each step, for those who come later
        self._last_status, self._last_at = "", 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name=self._what, daemon=True).start()

    def join(self, delivery: LoopDelivery) -> bool:
        """Follow the work; False where it has ended, or is about to."""
        with self._lock:
            if self.ended:
                return False
            for step in self._told.values():
                delivery.put(step)
            self._followers.append(delivery)
            return True

    def leave(self, delivery: LoopDelivery) -> None:
        with self._lock:
            if delivery in self._followers:
                self._followers.remove(delivery)

    def _run(self) -> None:
        error: OlpipeError | None = None
        try:
            self._work(self._tell)
        except _Abandoned:
            logger.info("%s: nobody waits for it any more", self._what)
        except OlpipeError as known:
            error = known
        except Exception as fault:  # the worker's border: what goes wrong here reaches the clients
            logger.error("%s failed", self._what, exc_info=fault)
            error = Refusal(500, f"olpipe has a fault: {type(fault).__name__}: {first_line(fault)}")
        with self._lock:
            self.ended = True
            for delivery in self._followers:
                delivery.put(_End(error))

    def _tell(self, step: Progress) -> None:
        with self._lock:
            if not self._followers:
                self.ended = True
                raise _Abandoned
            self._told[step.status] = step
            now = time.monotonic()
            whole = step.total is not None and step.completed >= step.total
            if step.status == self._last_status and not whole and now - self._last_at < TELL_S:
                return
            self._last_status, self._last_at = step.status, now
            for delivery in self._followers:
                delivery.put(step)


class _End:
    """The work has ended."""

    def __init__(self, error: OlpipeError | None) -> None:
        self.error = error


class Jobs:
    """The work that goes on, by what it is about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    async def follow(self, what: str, work: Work) -> AsyncIterator[Progress]:
        """Yield how far some work is until it has ended. Leaving early ends it, unless others follow it.

        Args:
            what: What the work is about. Where work about the same goes on, that is followed, and no other begins.
            work: The work. It is called in a thread of its own.

        Raises:
            OlpipeError: What went wrong with the work.
        """
        delivery = LoopDelivery()
        job = self._joined(what, work, delivery)
        try:
            while not isinstance(item := await delivery.take(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            job.leave(delivery)

    def _joined(self, what: str, work: Work, delivery: LoopDelivery) -> _Job:
        with self._lock:
            job = self._jobs.get(what)
            if job is not None and job.join(delivery):
                return job
            self._jobs = {other: going for other, going in self._jobs.items() if not going.ended}
            job = self._jobs[what] = _Job(what, work)
            job.join(delivery)
        job.start()
        return job
