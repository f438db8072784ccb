"""Show on stderr how far a long step is: a bar on a terminal, and a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from olpipe.cli.bar import Rate, bar_line, plain_line
from olpipe.cli.live_line import LiveLine, can_move, is_ascii, say
from olpipe.interfaces import Progress

LINE_EVERY_S = 30.0
"""Where no bar is shown, a line says so often how far a step is."""


@contextmanager
def shown(
    explanation: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Display]:
    """Yield a display, which is a progress callback, and leave the terminal tidy when the step ends.

    Args:
        explanation: What is being done and why it may take a while. It is written once, before the first report, so a
            step that reports nothing stays silent.
        stream: Where to write; stderr when not given.
        clock: Returns the time in seconds.
    """
    display = Display(explanation, stream or sys.stderr, clock=clock)
    try:
        yield display
    finally:
        display.close()


class Display:
    """Shows one bar at a time: a new status closes the bar of the last one. It is a `ProgressCallback`."""

    def __init__(self, explanation: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._explanation = explanation
        self._stream = stream
        self._clock = clock
        self._status: str | None = None
        self._rate = Rate()
        self._line: LiveLine | None = None
        self._said = ""
        self._said_s = clock()

    def __call__(self, progress: Progress) -> None:
        """Show how far a step is."""
        self._begin()
        is_new = progress.status != self._status
        if is_new:
            self.close()
            self._status, self._rate = progress.status, Rate()
        self._rate.add(self._clock(), progress.completed)
        if can_move(self._stream):
            self._show(progress, at_once=is_new)
        elif self._clock() - self._said_s >= LINE_EVERY_S:
            self._say_now_and_then(plain_line(progress, rate=self._rate.per_second))

    def explain(self, text: str) -> None:
        """Write a line about what comes next. The bar that is shown is closed."""
        self._begin()
        self.close()
        say(text, self._stream)

    def close(self) -> None:
        """Leave the last bar as it is."""
        self._status = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _begin(self) -> None:
        if self._explanation:
            say(self._explanation, self._stream)
            self._explanation = ""

    def _show(self, progress: Progress, *, at_once: bool) -> None:
        if self._line is None:
            self._line = LiveLine(self._stream, clock=self._clock)
        rate, ascii_only = self._rate.per_second, is_ascii(self._stream)
        self._line.update(
            lambda columns: bar_line(progress, columns, rate=rate, ascii_only=ascii_only), at_once=at_once
        )

    def _say_now_and_then(self, text: str) -> None:
        self._said_s = self._clock()
        if text != self._said:  # a step that stands still says so once
            self._said = text
            say(text, self._stream)
