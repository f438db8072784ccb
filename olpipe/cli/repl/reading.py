"""Read what the user types: one line, or several between three double quotes."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Protocol

from olpipe.cli.repl.terminal import Terminal

QUOTES = '"""'
PROMPT, MORE_PROMPT = ">>> ", "... "
_OPENS = re.compile(r'(\s*/set\s+system\s+|\s*)"""')


class Abandoned(Exception):
    """What was being typed is given up, because the user pressed Ctrl-C.

    Attributes:
        was_empty: Whether there was nothing yet.
    """

    def __init__(self, *, was_empty: bool) -> None:
        super().__init__()
        self.was_empty = was_empty


class Reader(Protocol):
    """Reads what is typed."""

    def read(self, *, more: bool = False) -> str:
        """Return what was typed up to Enter. It has several lines where the user put or pasted them in.

        Args:
            more: Whether this goes on with a message of several lines.

        Raises:
            Abandoned: The user pressed Ctrl-C.
            EOFError: The user pressed Ctrl-D, or nobody is there any more.
        """


class LineReader:
    """Reads lines as the terminal itself edits them, for terminals whose cursor cannot be moved."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def read(self, *, more: bool = False) -> str:
        """Return a line."""
        self._terminal.write(MORE_PROMPT if more else PROMPT)
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            self._terminal.write("\n")
            raise Abandoned(was_empty=not more) from None
        except UnicodeDecodeError:
            return ""
        if not line:
            self._terminal.write("\n")
            raise EOFError
        return line.removesuffix("\n")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was typed.

    Attributes:
        text: The text.
        is_quoted: Whether it stood in quotes. Then it is a message, whatever it begins with.
    """

    text: str
    is_quoted: bool = False


def read_entry(reader: Reader) -> Entry:
    """Read one entry: a command or a message.

    Raises:
        Abandoned: The user pressed Ctrl-C.
        EOFError: The user wants to leave.
    """
    text = reader.read()
    opening = _OPENS.match(text)
    if opening is None:
        return Entry(text.strip("\n").rstrip())
    before = opening[1].strip()
    inside = _inside(text[opening.end() :], reader)
    return Entry(f"{before} {inside}") if before else Entry(inside, is_quoted=True)


def _inside(text: str, reader: Reader) -> str:
    """Return what stands between the quotes. It may go on over several lines."""
    lines = [text]
    while not lines[-1].rstrip().endswith(QUOTES):
        try:
            lines.append(reader.read(more=True))
        except Abandoned:
            raise Abandoned(was_empty=False) from None
    lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
    return "\n".join(lines).strip("\n")
