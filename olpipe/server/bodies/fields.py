"""The fields of a JSON object, each of the type that it must have. Their names are found in any case, as in Ollama."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olpipe.server.refusal import Refusal

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


class Fields:
    """The fields of one object. A field that is null counts as missing."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        """Wrap an object.

        Args:
            values: The object.
            where: Where it stands in the body, for messages: `messages[0].`; empty for the body itself.
        """
        self.values = values
        self._where = where
        self._by_name = {name.lower(): value for name, value in values.items()}

    def __contains__(self, name: str) -> bool:
        return self._by_name.get(name) is not None

    def place(self, name: str) -> str:
        """Return where a field stands in the body, for messages."""
        return f"{self._where}{name}"

    def any(self, name: str) -> Any:
        """Return a field as it is, or None."""
        return self._by_name.get(name)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        found: str = self._of(name, str, default)
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value."""
        found: bool = self._of(name, bool, default)
        return found

    def optional_flag(self, name: str) -> bool | None:
        """Return a truth value, or None where it is not given."""
        found: bool | None = self._of(name, bool, None)
        return found

    def number(self, name: str) -> float | None:
        """Return a number, or None where it is not given."""
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, float)
        return float(value)

    def whole(self, name: str) -> int | None:
        """Return a whole number, or None where it is not given. `3.0` is a whole number."""
        exact = self.any(name)
        if isinstance(exact, int) and not isinstance(exact, bool):
            return exact
        value = self.number(name)
        if value is None:
            return None
        if not value.is_integer():
            raise self.wrong(name, int)
        return int(value)

    def items(self, name: str) -> list[Any]:
        """Return a list."""
        found: list[Any] = self._of(name, list, [])
        return found

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        found = self.items(name)
        for at, item in enumerate(found):
            if not isinstance(item, str):
                raise Refusal(400, f"`{self.place(name)}[{at}]` must be a text")
        return found

    def inner(self, name: str) -> Fields | None:
        """Return the fields of an object inside, or None where it is not given."""
        value = self._of(name, dict, None)
        return None if value is None else Fields(value, f"{self.place(name)}.")

    def each(self, name: str) -> Iterator[Fields]:
        """Yield the fields of each object of a list."""
        for at, item in enumerate(self.items(name)):
            if not isinstance(item, dict):
                raise Refusal(400, f"`{self.place(name)}[{at}]` must be an object")
            yield Fields(item, f"{self.place(name)}[{at}].")

    def wrong(self, name: str, kind: type) -> Refusal:
        """Return the error for a field of the wrong type."""
        return Refusal(400, f"`{self.place(name)}` must be {_KINDS[kind]}")

    def _of(self, name: str, kind: type, default: Any) -> Any:
        value = self.any(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.wrong(name, kind)
        return value
