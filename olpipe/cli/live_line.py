"""The last line of a terminal, which is written again and again while something goes on.

There is one such line at a time. A second one hides the first until it is closed. Whatever else is said meanwhile is
written above it. No escape codes are needed: a line is written over the last one, from the start of the line on. So the
cursor is never hidden, and stands behind the line.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from olpipe.cli.bar import width

EVERY_S = 0.1
"""A line is written again at most so often."""

USUAL_COLUMNS = 80
_DUMB = ("dumb", "unknown", "")
_NO = ("", "0", "false", "no", "off")
_SHAPES = "▕█▏"

Render = Callable[[int], str]
"""Returns the text of the line for a number of columns."""

_lock = threading.RLock()
_shown: list[LiveLine] = []
_redirected: list[tuple[logging.StreamHandler[Any], Any]] = []
"""The handlers of logs that write above the live line, with the streams that they had."""


def can_move(stream: TextIO) -> bool:
    """Say whether a line can be written again: on a terminal that moves its cursor, and that is not a log of CI."""
    if not stream.isatty() or os.environ.get("CI", "").lower() not in _NO:
        return False
    return os.name == "nt" or os.environ.get("TERM", "").lower() not in _DUMB


def columns(stream: TextIO) -> int:
    """Return how wide a terminal is now. Some terminals say 0; then COLUMNS counts, or the usual number."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        found = 0
    said = os.environ.get("COLUMNS", "")
    return found or (int(said) if said.isascii() and said.isdecimal() and int(said) else USUAL_COLUMNS)


def is_ascii(stream: TextIO) -> bool:
    """Say whether a stream cannot show the characters that a bar is made of."""
    try:
        _SHAPES.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def say(text: str, stream: TextIO) -> None:
    """Write a line; above the live line, where one is shown."""
    with _lock:
        top = next((line for line in reversed(_shown) if line.stream is stream), None)
        if top is not None:
            top.clear()
        _write(stream, f"{text}\n")
        if top is not None:
            top.draw()


class LiveLine:
    """A line that is written again when it changes.

    Attributes:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Show nothing yet. The line that is shown now is hidden until this one is closed.

        Args:
            stream: A terminal that can move its cursor.
            clock: Returns the time in seconds.
        """
        self.stream = stream
        self._clock = clock
        self._render: Render | None = None
        self._drawn = 0  # how many columns the line takes that is on the screen
        self._drawn_s = -EVERY_S
        with _lock:
            if _shown:
                _shown[-1].clear()
            _shown.append(self)
            _redirect_logs(stream)

    def update(self, render: Render, *, at_once: bool = False) -> None:
        """Change the line. It is written now, or when it is due.

        Args:
            render: Makes its text.
            at_once: Whether it is written even if that happened a moment ago.
        """
        with _lock:
            self._render = render
            if at_once or self._clock() - self._drawn_s >= EVERY_S:
                self.draw()

    def draw(self) -> None:
        """Write the line over the last one, unless another line hides it."""
        with _lock:
            if self._render is None or _shown[-1:] != [self]:
                return
            most = max(1, columns(self.stream) - 1)  # in the last column, some terminals go to the next line
            encoding = self.stream.encoding or "utf-8"
            text = self._render(most).encode(encoding, errors="replace").decode(encoding)
            padding = min(most, self._drawn + 2) - width(text)  # 2 for the `^C` of a terminal
            _write(self.stream, f"\r{text}{' ' * padding}")
            self._drawn, self._drawn_s = width(text), self._clock()

    def clear(self) -> None:
        """Leave an empty line with the cursor at its start."""
        with _lock:
            if self._drawn:
                room = min(self._drawn + 2, max(1, columns(self.stream) - 1))
                _write(self.stream, f"\r{' ' * room}\r")
                self._drawn = 0

    def close(self) -> None:
        """Leave the line as it is, and go to the next one."""
        with _lock:
            if self not in _shown:
                return
            is_top = _shown[-1] is self
            self.draw()
            _shown.remove(self)
            if not _shown:
                _restore_logs()
            if self._render is not None and is_top:
                _write(self.stream, "\n")
            if is_top and _shown:
                _shown[-1].draw()


class _Above:
    """A stream whose texts come above the live line. A logging handler writes to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        say(text.removesuffix("\n"), self._stream)

    def flush(self) -> None:
        self._stream.flush()


def _redirect_logs(stream: TextIO) -> None:
    """Let logs to a stream come above the live line."""
    for handler in logging.getLogger("olpipe").handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
            handler.setStream(_Above(stream))
            _redirected.append((handler, stream))


def _restore_logs() -> None:
    while _redirected:
        handler, stream = _redirected.pop()
        handler.setStream(stream)


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
