"""Append rows from the ledger to the sinks, after bringing each sink back to its committed position."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from olpipe.errors import OlpipeError
from olpipe.interfaces import Sink
from olpipe.pipeline.ledger import Ledger, TargetState
from olpipe.record import Review

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0
"""How often sinks are flushed. It need not be often, because rows are durable in the ledger at once."""

HIGHEST_POSITION = 2**63 - 1
"""The largest number that the ledger can hold."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """An open sink, and the rows that it gets.

    Attributes:
        sink: The sink.
        kind: The kind of rows that it takes.
        using: Runs a block of the sink's own code, and turns its errors into clear messages.
    """

    sink: Sink
    kind: str
    using: Callable[[], AbstractContextManager[None]] = nullcontext


def close_outlets(outlets: Iterable[Outlet]) -> None:
    """Close sinks. An error does no harm now, because the ledger has the rows."""
    for outlet in outlets:
        try:
            with outlet.using():
                outlet.sink.close()
        except (OlpipeError, OSError) as error:
            logger.debug("a sink could not be closed: %s", error)


def _recover(sink: Sink, position: int) -> bool:
    """Bring a sink to a position, and check that it says whether it got there."""
    reached = sink.recover(position)
    if not isinstance(reached, bool):
        raise TypeError(f"`recover({position})` returned {reached!r}, and True or False is expected")
    return reached


def _flush(sink: Sink, *, behind: int | None) -> int:
    """Flush a sink, and check its position.

    Args:
        sink: The sink.
        behind: The position before the rows that were written since; None where no row was written.
    """
    position = sink.flush()
    told = f"`flush` returned {position!r}"
    if not isinstance(position, int) or isinstance(position, bool):
        raise TypeError(f"{told}, and a whole number is expected")
    if behind is not None and position <= behind:
        raise ValueError(f"{told} after rows were written, and a position above {behind} is expected")
    if position < 0:
        raise ValueError(f"{told}, and a position of 0 or more is expected")
    if position > HIGHEST_POSITION:
        raise ValueError(f"{told}, and a position below 2**63 is expected")
    return position


def _changed_photos(sink: Sink) -> Collection[str]:
    """Return the photos that a sink has changed itself, and check that they are names."""
    changed = sink.changed_photos()
    if not isinstance(changed, Collection) or isinstance(changed, str) or not all(isinstance(n, str) for n in changed):
        raise TypeError(f"`changed_photos` returned {changed!r}, and the names of photos are expected")
    return changed


class Writer:
    """Keeps the sinks of one run in step with its ledger."""

    def __init__(self, ledger: Ledger, outlets: Mapping[str, Outlet]) -> None:
        """Make a writer for open sinks, by the names of their targets in the ledger."""
        self._ledger = ledger
        self._outlets = outlets
        self._written: dict[str, int] = {}  # the last row that went to each target
        self._looked: dict[str, int] = {}  # the last row of any kind when rows were last looked for
        self._committed: dict[str, int] = {}  # the last row that was flushed
        self._handed: set[str] = set()  # targets that got a row since their last flush
        self._unflushed: set[str] = set()  # targets that were not flushed yet, and may hold more than their rows
        self._positions: dict[str, int] = {}  # where the rows of each target ended when it was last flushed
        self._failed: set[str] = set()  # targets that failed get nothing more: a row may have been written in part
        self._flushed_s = 0.0
        self.reached = False
        """Whether every target is at its committed position."""
        self.started = False
        """Whether the targets are kept in step with the ledger."""
        self.write_ns = 0
        """Time spent here."""
        self.appended: Counter[str] = Counter()
        """How many rows each target got."""

    def reach(self) -> None:
        """Bring each target to its committed position. What the targets hold does not change before `start`.

        A target starts over if it no longer reaches that position, or if its rows are no longer true.
        """
        for target, outlet in self._outlets.items():
            state = self._ledger.state(target)
            with self._using(target):
                reached = state.position > 0 and _recover(outlet.sink, state.position)
                kept = (
                    not reached
                    and min(state.seq, state.position) > 0
                    and outlet.sink.keep(self._names(outlet, state.seq))
                )
                goes_on = state.seq > 0 and (reached or kept)
                if not goes_on and not _recover(outlet.sink, 0):
                    raise ValueError("`recover(0)` returned False, and a target can always start over")
            self._written[target] = self._committed[target] = state.seq if goes_on else 0
            self._looked[target] = self._written[target]
            self._unflushed.add(target)
            self._positions[target] = state.position if goes_on and reached else 0
        self.reached = True

    def start(self) -> None:
        """Append the rows that the targets lack. From now on, they are kept in step."""
        if not self.started:
            if not self.reached:
                self.reach()
            self.started = True
            self.flush()

    def append(self) -> None:
        """Append the rows that the targets lack, and flush them if the last flush was long enough ago.

        Nothing happens before `start`.
        """
        if not self.started:
            return
        started_ns = time.monotonic_ns()
        newest = self._ledger.newest()
        for target, outlet in self._working():
            for seq, row in self._ledger.rows_after(outlet.kind, self._looked[target]):
                if outlet.sink.takes_rejected or row.get("review") != Review.REJECTED:
                    with self._using(target):
                        outlet.sink.write(row)
                    self._handed.add(target)
                    self.appended[target] += 1
                self._written[target] = seq
            self._looked[target] = max(newest, self._looked[target])  # there may be no row of its kind for long
        self.write_ns += time.monotonic_ns() - started_ns
        if time.monotonic() - self._flushed_s >= FLUSH_EVERY_S:
            self._commit()

    def flush(self) -> None:
        """Append the rows that the targets lack, and flush them."""
        self._flushed_s = -FLUSH_EVERY_S
        self.append()

    def _commit(self) -> None:
        started_ns = time.monotonic_ns()
        for target, outlet in self._working():
            if self._written[target] != self._committed[target] or target in self._unflushed:
                with self._using(target):
                    has_rows = target in self._handed
                    position = _flush(outlet.sink, behind=self._positions[target] if has_rows else None)
                    changed = _changed_photos(outlet.sink)
                self._ledger.follow(changed)
                self._ledger.advance(target, TargetState(self._written[target], position))
                self._committed[target], self._positions[target] = self._written[target], position
                self._unflushed.discard(target)
                self._handed.discard(target)
        self._flushed_s = time.monotonic()
        self.write_ns += time.monotonic_ns() - started_ns

    def _names(self, outlet: Outlet, seq: int) -> list[str]:
        """Return the photos' names of the rows that a target should hold."""
        return self._ledger.names(outlet.kind, seq, rejected=outlet.sink.takes_rejected)

    def _working(self) -> list[tuple[str, Outlet]]:
        """Return the outlets that were started and have not failed."""
        started = self._written.keys() - self._failed
        return [(target, outlet) for target, outlet in self._outlets.items() if target in started]

    @contextmanager
    def _using(self, target: str) -> Iterator[None]:
        """Run a sink's own code, and note if it fails."""
        try:
            with self._outlets[target].using():
                yield
        except BaseException:
            self._failed.add(target)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        close_outlets(self._outlets.values())
