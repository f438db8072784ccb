"""Put known values into a document while it is being generated.

The model generates a document without the known properties; this puts them where the schema's order
has them. The text is always that of one compact JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from olpipe.guidance.outline import Outline


class Splicer:
    """Copies a compact JSON object from a stream of text, adding constants at the top level."""

    def __init__(self, order: Sequence[str], constants: Mapping[str, str]) -> None:
        """Set up for one document.

        Args:
            order: The schema's properties, in the order in which the document has them.
            constants: Compact JSON text by property; each must be in `order`.
        """
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._waiting = sorted(constants.items(), key=lambda item: self._rank[item[0]])
        self._outline = Outline()
        self._key: str | None = None  # of the member that begins, as far as it is known
        self._members = 0
        self.spliced = ""
        """Everything that was added so far."""

    def feed(self, text: str) -> str:
        """Take generated text and return it with constants added where they are due."""
        return "".join(map(self._step, text))

    def _step(self, character: str) -> str:
        outside = not self._outline.in_string
        self._outline.advance(character)
        if outside and self._outline.depth == 1 and character in "{,":
            self._key = ""
            return character
        if outside and self._outline.depth == 0 and character == "}":
            return self._splice_rest() + character
        if self._key is None:
            return character
        self._key += character
        if self._outline.in_string:
            return ""
        key, self._key = self._key, None
        self._members += 1
        return self._splice_before(key) + key

    def _splice_before(self, key: str) -> str:
        rank = self._rank.get(json.loads(key), len(self._rank))
        due = [member for member in self._waiting if self._rank[member[0]] < rank]
        self._waiting = self._waiting[len(due) :]
        added = "".join(f"{_member(*member)}," for member in due)
        self.spliced += added
        return added

    def _splice_rest(self) -> str:
        rest = ",".join(_member(*member) for member in self._waiting)
        if rest and self._members:
            rest = f",{rest}"
        self._waiting = []
        self.spliced += rest
        return rest


def _member(name: str, value: str) -> str:
    return f"{json.dumps(name, ensure_ascii=False)}:{value}"
