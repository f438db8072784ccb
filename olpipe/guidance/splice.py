"""Put known values into a document while it is being generated.

The model generates a document without the known properties. They are added here, each at its place in the schema's
order. The text is always that of one JSON object without white space between its parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from olpipe.guidance.outline import Outline


class Splicer:
    """Copies a JSON object from a stream of text, and adds known values at its top level.

    Attributes:
        spliced: Everything that was added so far.
    """

    def __init__(self, order: Sequence[str], constants: Mapping[str, str]) -> None:
        """Set up for one document.

        Args:
            order: The schema's properties, in the order in which the document has them.
            constants: The known values as JSON text, by property. Each property must be in `order`.
        """
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._waiting = sorted(constants.items(), key=lambda item: self._rank[item[0]])
        self._outline = Outline()
        self._key: str | None = None  # what is known of a property's name while it is read, else None
        self._members = 0
        self.spliced = ""

    def feed(self, text: str) -> str:
        """Take generated text, and return it with the known values that come before or in it.

        The name of a property is held back until it is complete: known values may come before it.
        """
        return "".join(map(self._step, text))

    def _step(self, character: str) -> str:
        outside = not self._outline.in_string
        self._outline.advance(character)
        # 1. A property of the top level may begin, or the object ends.
        if outside and self._outline.depth == 1 and character in "{,":
            self._key = ""
            return character
        if outside and self._outline.depth == 0 and character == "}":
            return self._splice_rest() + character
        # 2. Everything but the name of a property is passed on as it is.
        if self._key is None:
            return character
        # 3. The name is complete when its string is closed.
        self._key += character
        if self._outline.in_string:
            return ""
        key, self._key = self._key, None
        self._members += 1
        return self._splice_before(key) + key

    def _splice_before(self, key: str) -> str:
        """Return the known values that come before a property in the schema's order, each with a comma behind it."""
        rank = self._rank.get(json.loads(key), len(self._rank))
        due = [member for member in self._waiting if self._rank[member[0]] < rank]
        self._waiting = self._waiting[len(due) :]
        added = "".join(f"{_member(*member)}," for member in due)
        self.spliced += added
        return added

    def _splice_rest(self) -> str:
        """Return all known values that are left, with a comma before them where the object has properties already."""
        rest = ",".join(_member(*member) for member in self._waiting)
        if rest and self._members:
            rest = f",{rest}"
        self._waiting = []
        self.spliced += rest
        return rest


def _member(name: str, value: str) -> str:
    return f"{json.dumps(name, ensure_ascii=False)}:{value}"
