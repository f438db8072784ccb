"""Follow a JSON text as it grows: whether its end is inside a string, and how deeply nested it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Outline:
    """The state at the end of some JSON text. Bytes beyond ASCII count as content.

    Attributes:
        depth: How many objects and arrays are open.
        in_string: Whether a string is open.
        escaped: Whether the last character was a backslash, which gives the next character another meaning.
        strings: How many strings were closed, keys included.
    """

    depth: int = 0
    in_string: bool = False
    escaped: bool = False
    strings: int = 0

    @property
    def open(self) -> int:
        """How many objects, arrays and strings are still to be closed."""
        return self.depth + self.in_string

    def copy(self) -> Outline:
        """Return an independent outline in the same state."""
        return Outline(self.depth, self.in_string, self.escaped, self.strings)

    def advance(self, text: str) -> None:
        """Take more text."""
        for character in text:
            if self.in_string:
                if self.escaped:
                    self.escaped = False
                elif character == "\\":
                    self.escaped = True
                elif character == '"':
                    self.in_string = False
                    self.strings += 1
            elif character == '"':
                self.in_string = True
            elif character in "{[":
                self.depth += 1
            elif character in "}]":
                self.depth -= 1
