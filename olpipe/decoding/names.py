"""Follow the names of properties in a JSON text, so that no object gets the same name twice.

A reader of JSON keeps one value for a name. So an object in which a name stands twice has fewer properties than the
grammar counted.
"""

from __future__ import annotations

import json


class Names:
    """The names of all objects that are open at the end of some JSON text without white space between its parts.

    Names are kept as JSON writes them, with their quotes. Bytes beyond ASCII are one character each (Latin-1).

    Attributes:
        pending: The beginning of a name that is not complete yet, with its first quote. It is empty where a name may
            begin, and None elsewhere.
        repeated: Whether an object of the text has a name twice.
    """

    __slots__ = ("_escaped", "_in_string", "_open", "pending", "repeated")

    def __init__(self) -> None:
        self.pending: str | None = None
        self.repeated = False
        self._open: tuple[frozenset[str] | None, ...] = ()  # the names of each open object, and None for each array
        self._in_string = False
        self._escaped = False

    def copy(self) -> Names:
        """Return independent names in the same state."""
        other = Names()
        other.pending, other.repeated, other._open = self.pending, self.repeated, self._open
        other._in_string, other._escaped = self._in_string, self._escaped
        return other

    @property
    def state(self) -> tuple[object, ...]:
        """What decides which names may come: two texts with the same state may go on alike."""
        return self._open, self.pending

    def rests(self) -> list[str]:
        """Return what would complete the pending name to each name that its object has already, quotes included."""
        if self.pending is None or not self._open:
            return []
        return [name[len(self.pending) :] for name in self._open[-1] or () if name.startswith(self.pending)]

    def advance(self, text: str) -> None:
        """Take more text."""
        for character in text:
            if self._in_string:
                self._advance_string(character)
            elif character == '"':
                self._in_string = True
                self.pending = None if self.pending is None else '"'
            elif character in "{[":
                self._open += (frozenset() if character == "{" else None,)
                self.pending = "" if character == "{" else None
            elif character in "}]":
                self._open = self._open[:-1]
                self.pending = None
            elif character == ",":
                self.pending = "" if self._open and self._open[-1] is not None else None

    def _advance_string(self, character: str) -> None:
        if self.pending is not None:
            self.pending += character
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False
            if self.pending is not None:
                self._take(self.pending)
                self.pending = None

    def _take(self, written: str) -> None:
        r"""Add a complete name to those of its object. A name may be written in several ways, as `\n` and `\u000a`."""
        if "\\" in written:
            name = json.loads(written.encode("latin-1"))
            written = json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass").decode("latin-1")
        *around, names = self._open
        self.repeated = self.repeated or written in (names or ())
        self._open = (*around, (names or frozenset()) | {written})
