"""What a record says about the photo's size and the boxes in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a photo, with its box in pixels of the upright photo.

    Attributes:
        name: What it is.
        x: The left edge.
        y: The top edge.
        w: The width.
        h: The height.
        tags: Finer names.
        score: The perceiver's confidence in 0..1; None where it gave none.
    """

    name: str
    x: int
    y: int
    w: int
    h: int
    tags: tuple[str, ...] = ()
    score: float | None = None


def size_of(row: Mapping[str, Any]) -> tuple[int, int]:
    """Return width and height of the upright photo in pixels."""
    image = row["image"]
    return image["width"], image["height"]


def things_of(row: Mapping[str, Any]) -> Iterator[Thing]:
    """Yield the objects that have a name and a box. A box that reaches out of the photo is cut at its edges."""
    width, height = size_of(row)
    objects = row.get("objects")
    for value in objects if isinstance(objects, list) else ():
        if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
            continue
        sides: list[Any] = [value.get(side) for side in ("x", "y", "w", "h")]
        if not all(isinstance(side, int) and not isinstance(side, bool) for side in sides):
            continue
        x, y, w, h = sides
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            continue
        tags, score = value.get("tags"), value.get("score")
        yield Thing(
            value["type"],
            left,
            top,
            right - left,
            bottom - top,
            tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
            score if isinstance(score, int | float) and not isinstance(score, bool) else None,
        )


def tags_of(row: Mapping[str, Any]) -> list[str]:
    """Return the photo's tags, each once."""
    tags = row.get("tags")
    return list(dict.fromkeys(tag for tag in tags if isinstance(tag, str))) if isinstance(tags, list) else []


def closed_names(schema: Mapping[str, Any]) -> list[str]:
    """Return the names that a recipe's schema allows for objects, in its order; none where it allows any name."""
    found: Any = schema
    for key in ("properties", "objects", "items", "properties", "type", "enum"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return list(dict.fromkeys(name for name in found if isinstance(name, str))) if isinstance(found, list) else []


class Numbers:
    """Gives each name a number, in the order in which the names come. A name keeps its number."""

    def __init__(self, names: list[str], first: int = 0) -> None:
        """Begin with names that are known before."""
        self._first = first
        self._numbers = {name: first + place for place, name in enumerate(dict.fromkeys(names))}

    def __getitem__(self, name: str) -> int:
        """Return the number of a name."""
        return self._numbers.setdefault(name, self._first + len(self._numbers))

    @property
    def names(self) -> list[str]:
        """All names, in the order of their numbers."""
        return list(self._numbers)
