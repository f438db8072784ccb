"""What one alternative of a place allows, for each type of value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olpipe.guidance.places import Place

Places = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """Values that are written out whole: a wire schema, and the values if they are few.

    Attributes:
        wire: The wire schema.
        values: All values it allows, when they are an enumeration.
    """

    wire: Mapping[str, Any]
    values: tuple[Any, ...] | None = None


@dataclass(slots=True)
class ArrayShape:
    """An array.

    Attributes:
        prefix: Schemas of the first items.
        rest: Schemas of each later one.
        least: Items it must have.
        most: Items it may have.
        unique: Whether no two may be equal.
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
        properties: Schemas of each named property, in the order of generation.
        required: Names that it must have.
        maps: Expression of further names, "" for any, and the schemas of their values.
        least: Properties it must have.
        most: Properties it may have.
        forbidden: Names that it must not have.
    """

    properties: dict[str, Places]
    required: frozenset[str]
    maps: list[tuple[str, Places]] = field(default_factory=list)
    least: int = 0
    most: int | None = None
    forbidden: frozenset[str] = frozenset()


Shape = Scalar | ArrayShape | ObjectShape
