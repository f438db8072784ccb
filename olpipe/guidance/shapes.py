"""The shapes: what one alternative of a place allows of one type of value."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from olpipe.guidance.places import Place

Places = tuple[Place, ...]
"""Schemas that apply together."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """Values that have no parts: texts, numbers, booleans, null, and whole values of an `enum`.

    Attributes:
        wire: The wire schema of the values.
        values: All values, where they are few enough to list, else None.
    """

    wire: Mapping[str, Any]
    values: tuple[Any, ...] | None = None


@dataclass(slots=True)
class ArrayShape:
    """An array.

    Attributes:
        prefix: The schemas of each of the first items.
        rest: The schemas of every later item.
        least: How many items it must have at least.
        most: How many items it may have at most.
        unique: Whether all items must be different.
    """

    prefix: list[Places]
    rest: Places
    least: int
    most: int
    unique: bool


@dataclass(slots=True)
class ObjectShape:
    """An object.

    Attributes:
        properties: The schemas of each named property, in the order of generation.
        required: Names that it must have.
        maps: Expressions of the names that the model may make up, each with the schemas of their values. An empty
            expression stands for any name.
        least: How many properties it must have at least.
        most: How many properties it may have at most; None for any number.
        forbidden: Names that it must not have.
    """

    properties: dict[str, Places]
    required: frozenset[str]
    maps: list[tuple[str, Places]] = field(default_factory=list)
    least: int = 0
    most: int | None = None
    forbidden: frozenset[str] = frozenset()

    def without(self, known: Set[str]) -> ObjectShape | None:
        """Return what is left when properties with these names are put in; None where they may not be.

        They count in `minProperties` and `maxProperties`, and no other property may have their names.
        """
        most = None if self.most is None else self.most - len(known)
        if known & self.forbidden or (most is not None and most < len(self.required - known)):
            return None
        return ObjectShape(
            {name: places for name, places in self.properties.items() if name not in known},
            self.required - known,
            self.maps,
            max(0, self.least - len(known)),
            most,
            self.forbidden | known,
        )


Shape = Scalar | ArrayShape | ObjectShape
