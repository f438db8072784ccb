"""Something that turns while a model is loaded or reads its prompt."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

from olpipe.cli.repl.terminal import Terminal
from olpipe.interfaces import Progress

if TYPE_CHECKING:
    from olpipe.cli.progress import Display

TURN_S = 0.1
_DOTS, _STROKES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


class Spinner:
    """Turns at the start of the line until it is stopped, and leaves nothing there. It is a context manager."""

    def __init__(self, terminal: Terminal) -> None:
        """Make a spinner. On a terminal that cannot write a character twice, it never shows anything."""
        self._terminal = terminal
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="spinner", daemon=True) if terminal.moves else None

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the line as it was. Any thread may call this, and more than once."""
        self._stopped.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _turn(self) -> None:
        encoding = (sys.stdout.encoding or "ascii").lower()
        frames = _DOTS if encoding.replace("-", "") == "utf8" else _STROKES
        at = 0
        while not self._stopped.wait(TURN_S):
            self._terminal.write(f"\r{frames[at % len(frames)]} ")
            at += 1
        if at:
            self._terminal.write("\r  \r")


class Waiting:
    """What is shown while something is waited for: a spinner, or how far a step is. It is a `ProgressCallback`."""

    def __init__(self, terminal: Terminal, display: Display) -> None:
        self._terminal = terminal
        self._display = display
        self._spinner = Spinner(terminal)

    def __call__(self, progress: Progress) -> None:
        """Show how far a step is."""
        self._spinner.stop()
        self._display(progress)

    def spinner(self) -> Spinner:
        """Return a new spinner, which the next progress stops."""
        self._spinner = Spinner(self._terminal)
        return self._spinner

    def close(self) -> None:
        """Leave the last bar as it is."""
        self._display.close()
