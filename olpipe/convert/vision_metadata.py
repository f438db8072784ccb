"""Read what a file says about its vision encoder, and check it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olpipe.errors import ModelCorrupt

_SHOWN_LETTERS = 40


@dataclass(frozen=True, slots=True)
class VisionMetadata:
    """The values that a file has for its vision encoder. Every method raises `ModelCorrupt` where a value is wrong.

    Attributes:
        values: The values, by the names that follow `clip.vision.` in files of llama.cpp.
    """

    values: Mapping[str, Any]

    def size(self, name: str, *, default: int | None = None, limit: int = 1 << 16) -> int:
        """Return a whole number from 1 to a limit."""
        value = self.values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
            raise self._wrong(name, value, f"a size up to {limit}")
        return value

    def positive(self, name: str, *, default: float | None = None) -> float:
        """Return a number above zero."""
        value = self.values.get(name, default)
        if not _is_number(value) or not 0 < value < math.inf:
            raise self._wrong(name, value, "a positive number")
        return float(value)

    def colour(self, name: str) -> tuple[float, float, float]:
        """Return three numbers: one for red, one for green and one for blue."""
        value = self.values.get(name)
        if not isinstance(value, tuple) or len(value) != 3 or not all(map(_is_number, value)):
            raise self._wrong(name, value, "three numbers")
        red, green, blue = (float(one) for one in value)
        return red, green, blue

    def spread(self, name: str) -> tuple[float, float, float]:
        """Return three numbers above zero, by which colours are divided."""
        colour = self.colour(name)
        if min(colour) <= 0:
            raise self._wrong(name, colour, "three positive numbers")
        return colour

    def layers(self, name: str) -> tuple[int, ...] | None:
        """Return the numbers of some blocks; None where the file does not name any."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(type(one) is int for one in value):
            raise self._wrong(name, value, "a list of blocks")
        return value

    def flag(self, name: str) -> bool:
        """Return whether something is switched on. What the file does not name is off."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def _wrong(self, name: str, value: Any, expected: str) -> ModelCorrupt:
        """Return the error for a value that is not what it must be."""
        from olpipe.convert.gguf import shown

        said = "nothing" if value is None else f"`{shown(repr(value))[:_SHOWN_LETTERS]}`"
        return ModelCorrupt(f"the vision encoder says {said} for `{name}`, which is not {expected}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
