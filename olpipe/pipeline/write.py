"""Append rows from the ledger to the sinks, and bring sinks back to where the ledger knows them to be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from olpipe.interfaces import Sink
from olpipe.pipeline.ledger import Ledger, SinkState
from olpipe.pipeline.output import writing

FLUSH_EVERY_S = 1.0
"""Rows are durable in the ledger at once; sinks follow this often."""


class Writer:
    """Keeps the sinks of one run in step with its ledger."""

    def __init__(self, ledger: Ledger, sinks: Mapping[str, Sink]) -> None:
        """Make a writer for sinks by the names the ledger knows them under."""
        self._ledger = ledger
        self._sinks = sinks
        self._written: dict[str, int] = {}  # the last row that went to each sink
        self._committed: dict[str, int | None] = {}  # the last that will stay there; None while it starts over
        self._flushed_s = 0.0
        self.write_ns = 0
        """Time spent here."""

    def start(self) -> None:
        """Cut each sink back to its committed position, and append what it lacks.

        A sink whose rows are no longer true, or that no longer reaches its position, starts over.
        """
        with writing(self._ledger.output):
            for name, sink in self._sinks.items():
                state = self._ledger.state(name)
                if state.position and sink.recover(state.position):
                    self._written[name] = self._committed[name] = state.seq
                else:
                    self._ledger.advance(name, SinkState(0, 0))
                    sink.recover(0)
                    self._written[name], self._committed[name] = 0, None
        self.flush()

    def append(self) -> None:
        """Append what the sinks lack, now and then for good."""
        started_ns = time.monotonic_ns()
        with writing(self._ledger.output):
            for name, sink in self._sinks.items():
                for seq, row in self._ledger.rows_after(name, self._written[name]):
                    sink.write(row)
                    self._written[name] = seq
        self.write_ns += time.monotonic_ns() - started_ns
        if time.monotonic() - self._flushed_s >= FLUSH_EVERY_S:
            self._commit()

    def flush(self) -> None:
        """Append what the sinks lack, for good."""
        self._flushed_s = -FLUSH_EVERY_S
        self.append()

    def _commit(self) -> None:
        started_ns = time.monotonic_ns()
        with writing(self._ledger.output):
            for name, sink in self._sinks.items():
                if self._written[name] != self._committed[name]:
                    self._ledger.advance(name, SinkState(self._written[name], sink.flush()))
                    self._committed[name] = self._written[name]
        self._flushed_s = time.monotonic()
        self.write_ns += time.monotonic_ns() - started_ns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for sink in self._sinks.values():
            with suppress(OSError):  # a full disk has been reported, and the ledger has the rows
                sink.close()
