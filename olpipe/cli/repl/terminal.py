"""What the terminal can do, and in which mode it is."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

Handler = Callable[[int, FrameType | None], None]

USUAL_COLUMNS = 80
_DUMB = ("dumb", "unknown", "")
_C0 = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_C1 = dict.fromkeys(range(0x80, 0xA0), "\ufffd")
_CONTROLS: dict[int, str | None] = {**_C0, 0x7F: "\u2421", **_C1, ord("\r"): None}


def on_terminal() -> bool:
    """Say whether somebody types on a terminal and sees the answers there."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def printable(text: str) -> str:
    """Return a text without characters that a terminal would obey. A model may write them, or repeat them."""
    return text.translate(_CONTROLS)


class Terminal:
    """The terminal of stdout, where there is one.

    Attributes:
        is_there: Whether stdout is a terminal.
        moves: Whether its cursor can be moved, so that a line can be written again.
        colours: Whether it may show colours.
    """

    def __init__(self) -> None:
        self.is_there = sys.stdout is not None and sys.stdout.isatty()
        self.moves = self.is_there and (os.name == "nt" or os.environ.get("TERM", "").lower() not in _DUMB)
        self.colours = self.moves and not os.environ.get("NO_COLOR")

    def width(self) -> int:
        """Return how many columns there are now. Some terminals say 0; then the usual number is returned."""
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):
            return USUAL_COLUMNS

    def write(self, text: str, *, grey: bool = False) -> None:
        """Write a text to stdout at once."""
        if text:
            click.echo(click.style(text, fg="bright_black") if grey and self.colours else text, nl=False)

    @contextmanager
    def unechoed(self) -> Iterator[None]:
        """Keep what is typed for the next prompt and do not show it while a model answers. Ctrl-C still interrupts.

        The mode of the terminal is restored at the end, also where the process is told to end.
        """
        if sys.platform == "win32":  # what is typed is shown there
            yield
            return
        import termios

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        changed = list(before)
        changed[0] &= ~termios.ICRNL  # Enter has to stay what the line editor takes for Enter
        changed[3] &= ~(termios.ECHO | termios.ICANON)

        def change(number: int = 0, frame: FrameType | None = None) -> None:
            termios.tcsetattr(descriptor, termios.TCSANOW, changed)

        def leave(number: int, frame: FrameType | None) -> None:
            raise SystemExit(128 + number)

        # A shell may give the terminal back in another mode when a stopped session goes on
        with _handling({signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGCONT: change}):
            change()
            try:
                yield
            finally:
                termios.tcsetattr(descriptor, termios.TCSANOW, before)


class Interruption:
    """Whether Ctrl-C was pressed."""

    happened = False


@contextmanager
def interrupting(cancel: Callable[[], None]) -> Iterator[Interruption]:
    """Let Ctrl-C call a function instead of raising an exception somewhere.

    Args:
        cancel: Ends what is waited for. It must return at once and may be called twice.

    Yields:
        Says whether Ctrl-C was pressed.
    """
    interruption = Interruption()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interruption.happened = True
        cancel()

    with _handling({signal.SIGINT: interrupt}):
        yield interruption


@contextmanager
def _handling(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """Handle signals while a block runs. Only the main thread can do that; in others, nothing changes."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
