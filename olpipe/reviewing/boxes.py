"""Check boxes that people have corrected: whole numbers, within the photo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olpipe.guidance.faults import Fault, shown
from olpipe.image import LEAST_SIDE

SIDES = ("x", "y", "w", "h")
Size = tuple[int, int]


def things_faults(things: Any) -> Iterator[Fault]:
    """Yield what is wrong with a list of things, whatever the recipe's schema says."""
    if not isinstance(things, list):
        yield Fault((), "it must be a list")
        return
    for at, thing in enumerate(things):
        if not isinstance(thing, dict):
            yield Fault((at,), f"{shown(thing)} is not an object with keys")
        elif not isinstance(thing.get("type"), str) or not thing["type"].strip():
            yield Fault((at, "type"), "it must not be empty")
        elif not isinstance(tags := thing.get("tags", []), list) or not all(isinstance(tag, str) for tag in tags):
            yield Fault((at, "tags"), "it must be a list of texts")


def box_faults(before: Any, things: Any, size: Size) -> Iterator[Fault]:
    """Yield what is wrong with boxes that were not there before.

    Args:
        before: The things as the model wrote them.
        things: The things as a person wrote them.
        size: The photo's width and height in pixels.
    """
    known = {_sides(box) for _, box in _boxes(before)}
    for at, box in _boxes(things):
        if _sides(box) not in known:
            yield from _outside(at, box, size)


def scored(before: Any, after: list[Any]) -> list[Any]:
    """Return things of which only those have a score that a perceiver gave: their type has had it before."""
    old = before if isinstance(before, list) else []
    known = {(thing.get("type"), thing.get("score")) for thing in old if isinstance(thing, dict)}
    return [
        {key: value for key, value in thing.items() if key != "score" or (thing.get("type"), value) in known}
        for thing in after
    ]


def _boxes(things: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for at, thing in enumerate(things if isinstance(things, list) else ()):
        if isinstance(thing, dict) and any(side in thing for side in SIDES):
            yield at, thing


def _sides(box: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(repr(box.get(side)) for side in SIDES)


def _outside(at: int, box: Mapping[str, Any], size: Size) -> Iterator[Fault]:
    wrong = [side for side in SIDES if type(box.get(side)) is not int]
    for side in wrong:
        yield Fault((at, side), f"{shown(box.get(side))} is not a whole number")
    if wrong:
        return
    for start, length, most, name in (("x", "w", size[0], "width"), ("y", "h", size[1], "height")):
        if box[length] < LEAST_SIDE:
            yield Fault((at, length), f"{box[length]} is less than {LEAST_SIDE} pixels")
        elif box[start] < 0 or box[start] + box[length] > most:
            yield Fault((at, start), f"{start} + {length} must lie within the photo's {name} of {most} pixels")
