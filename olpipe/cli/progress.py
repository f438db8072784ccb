"""Show on stderr how far a long step is: a bar on a terminal, one line of explanation anywhere else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from olpipe.interfaces import Progress

_BAR = "{desc}: {percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}"
_COUNTER = "{desc}: {n_fmt} {rate_fmt}"


@contextmanager
def shown(explanation: str, *, stream: TextIO | None = None) -> Iterator[Display]:
    """Yield a display, which is a progress callback, and leave the terminal tidy when the step ends.

    Args:
        explanation: What is being done and why it may take a while. It is written once, before the first report, so a
            step that reports nothing stays silent.
        stream: Where to write; stderr when not given.
    """
    display = Display(explanation, stream or sys.stderr)
    try:
        yield display
    finally:
        display.close()


class Display:
    """Shows one bar at a time: a new status closes the bar of the last one. It is a `ProgressCallback`."""

    def __init__(self, explanation: str, stream: TextIO) -> None:
        self._explanation = explanation
        self._stream = stream
        self._status = ""
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        """Show how far a step is."""
        self._begin()
        if not self._stream.isatty():
            return
        if progress.status != self._status:
            self.close()
            self._bar = self._open(progress)
            self._status = progress.status
        self._bar.bar_format = _layout(progress)
        self._bar.update(progress.completed - self._bar.n)

    def explain(self, text: str) -> None:
        """Write a line about what comes next. The bar that is shown is closed."""
        self._begin()
        self.close()
        self._status = ""
        self._write(text)

    def _begin(self) -> None:
        if self._explanation:
            self._write(self._explanation)
            self._explanation = ""

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the last bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, progress: Progress) -> Any:
        from tqdm import tqdm

        # Some terminals say that they have no columns. tqdm would believe that and draw nothing.
        size = shutil.get_terminal_size()
        return tqdm(
            desc=progress.status,
            total=progress.total,
            unit=progress.unit if progress.unit == "B" else f" {progress.unit}",
            unit_scale=progress.unit == "B",
            bar_format=_layout(progress),
            file=self._stream,
            ncols=size.columns,
            nrows=size.lines,
        )


def _layout(progress: Progress) -> str:
    if progress.total is not None:
        return _BAR
    return _COUNTER if progress.completed else "{desc}"
