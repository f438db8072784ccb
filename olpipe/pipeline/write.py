"""Append rows from the ledger to the sinks, after bringing each sink back to its committed position."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from olpipe.errors import OlpipeError
from olpipe.interfaces import Sink
from olpipe.pipeline.ledger import Ledger, TargetState

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0
"""How often sinks are flushed. It need not be often, because rows are durable in the ledger at once."""


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


class Writer:
    """Keeps the sinks of one run in step with its ledger."""

    def __init__(self, ledger: Ledger, outlets: Mapping[str, Outlet]) -> None:
        """Make a writer for open sinks, by the names of their targets in the ledger."""
        self._ledger = ledger
        self._outlets = outlets
        self._written: dict[str, int] = {}  # the last row that went to each target
        self._committed: dict[str, int | None] = {}  # the last row that was flushed; None while a target starts over
        self._failed: set[str] = set()  # targets that failed get nothing more: a row may have been written in part
        self._flushed_s = 0.0
        self.write_ns = 0
        """Time spent here."""

    def start(self) -> None:
        """Cut each target back to its committed position, and append the rows that it lacks.

        A target starts over if it no longer reaches that position, or if the position is 0: then its rows are no longer
        true, or there are none.
        """
        for target, outlet in self._outlets.items():
            state = self._ledger.state(target)
            with self._using(target):
                reached = state.position > 0 and outlet.sink.recover(state.position)
            if reached:
                self._written[target] = self._committed[target] = state.seq
                continue
            self._ledger.advance(target, TargetState(0, 0))
            self._written[target], self._committed[target] = 0, None
            with self._using(target):
                outlet.sink.recover(0)
        self.flush()

    def append(self) -> None:
        """Append the rows that the targets lack, and flush them if the last flush was long enough ago."""
        started_ns = time.monotonic_ns()
        for target, outlet in self._working():
            for seq, row in self._ledger.rows_after(outlet.kind, self._written[target]):
                with self._using(target):
                    outlet.sink.write(row)
                self._written[target] = seq
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
            if self._written[target] != self._committed[target]:
                with self._using(target):
                    position = outlet.sink.flush()
                    if not isinstance(position, int):
                        raise TypeError(f"`flush` returned a {type(position).__name__} where a position is expected")
                self._ledger.advance(target, TargetState(self._written[target], position))
                self._committed[target] = self._written[target]
        self._flushed_s = time.monotonic()
        self.write_ns += time.monotonic_ns() - started_ns

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
