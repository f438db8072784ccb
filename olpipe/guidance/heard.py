"""Turn the boxes of a finished document from the way in which a model says them into pixels of the photo."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from olpipe.guidance.boxes import KIND, SIDES, is_box, names
from olpipe.guidance.places import Document, Place
from olpipe.image import LEAST_SIDE, Box, BoxDialect, DecodedImage, ShownImage

NEARLY_EQUAL = 0.9
"""Two boxes of one kind are the same thing where they overlap by more than this part of their area."""

_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_CONDITIONAL = ("then", "else")


def heard(
    value: Any,
    schema: Mapping[str, Any],
    dialect: BoxDialect,
    photo: DecodedImage,
    *,
    shown: ShownImage | None = None,
    known: Collection[str] = (),
) -> Any:
    """Return a document as its schema asks for it: with boxes in pixels of the photo, in the order of the schema.

    In lists of objects with a box, boxes that are too thin are left out, and so is what was said twice. A list that
    would then be shorter than it may be stays as it is.

    Args:
        value: The document, as the model wrote it under the schema that `spoken` returned.
        schema: The schema that `spoken` was given.
        dialect: How the model says boxes.
        photo: The photo.
        shown: The photo as the model saw it. None means that it filled the fitted image.
        known: Top-level properties that the model did not write. They stay.

    Raises:
        ValueError: The boxes are in pixels of an image of unknown size.
    """
    listener = _Listener(dialect, photo, shown)
    places = [Document(schema).root()]
    return listener.thing(value, places, known)[0] if isinstance(value, dict) else listener.part(value, places)


class _Listener:
    """Reads the parts of one document. With each part come all schemas that may have asked for it."""

    def __init__(self, dialect: BoxDialect, photo: DecodedImage, shown: ShownImage | None) -> None:
        self._dialect = dialect
        self._photo = photo
        self._shown = shown

    def part(self, value: Any, places: Sequence[Place]) -> Any:
        """Return any part of the document with its boxes in pixels."""
        if isinstance(value, dict):
            return self.thing(value, places)[0]
        return self._list(value, list(_all(places))) if isinstance(value, list) else value

    def thing(
        self, value: Mapping[str, Any], places: Sequence[Place], known: Collection[str] = ()
    ) -> tuple[dict[str, Any], Box | None]:
        """Return an object, and its own box if it has one."""
        places = list(_all(places))
        asked = self._asked(value, places)
        said = {} if asked is None else names(asked.schema, self._dialect)
        found: dict[str, Any] = {}
        box = None
        for name, part in value.items():
            own = said.get(name, name)
            if name in known:
                found[name] = part
            elif own:
                found[own] = self.part(part, _below(places, own))
            else:
                box = self._dialect.box(part, self._photo, self._shown)
                found |= asdict(box)
        order = found if asked is None else dict.fromkeys([*asked.schema["properties"], *found])
        return {name: found[name] for name in order if name in found}, box

    def _asked(self, value: Mapping[str, Any], places: Sequence[Place]) -> Place | None:
        """Return the schema of an object with a box that an object answers, or None where it answers none.

        Of several, it is the one that has most of the object's properties.
        """
        numbers = value.get(self._dialect.key)
        if not isinstance(numbers, list) or [type(number) in (int, float) for number in numbers] != [True] * len(SIDES):
            return None
        asking = [place for place in places if is_box(place.schema) and names(place.schema, self._dialect)]
        return max(asking, key=lambda place: len(names(place.schema, self._dialect).keys() & value), default=None)

    def _list(self, values: Sequence[Any], places: Sequence[Place]) -> list[Any]:
        found: list[Any] = []
        kept: list[Any] = []
        boxes: list[tuple[Any, Box]] = []
        for index, value in enumerate(values):
            within = _items(places, index)
            part, box = self.thing(value, within) if isinstance(value, dict) else (self.part(value, within), None)
            found.append(part)
            if box is None:
                kept.append(part)
            elif min(box.w, box.h) >= LEAST_SIDE and not _said_before(part.get(KIND), box, boxes):
                kept.append(part)
                boxes.append((part.get(KIND), box))
        least = max((place.schema.get("minItems", 0) for place in places), default=0)
        return kept if len(kept) >= least else found


def _said_before(kind: Any, box: Box, boxes: Sequence[tuple[Any, Box]]) -> bool:
    return any(kind == other and box.overlap(earlier) > NEARLY_EQUAL for other, earlier in boxes)


def _all(places: Sequence[Place]) -> Iterator[Place]:
    """Yield schemas and everything that they refer to or choose from, except for those that allow all or nothing."""
    waiting, seen = list(places), set()
    while waiting:
        place = waiting.pop(0)
        if place.key in seen or not isinstance(place.schema, Mapping):
            continue
        seen.add(place.key)
        yield place
        if "$ref" in place.schema:
            waiting.append(place.target("$ref"))
        for word in _ALTERNATIVES:
            waiting += [place.within(word, part) for part in place.schema.get(word, ())]
        waiting += [place.within(word, place.schema[word]) for word in _CONDITIONAL if word in place.schema]


def _below(places: Sequence[Place], name: str) -> list[Place]:
    """Return the schemas of a property."""
    found = []
    for place in places:
        if name in (properties := place.schema.get("properties", {})):
            found.append(place.within(f"properties.{name}", properties[name]))
        else:
            further = [*place.schema.get("patternProperties", {}).values(), place.schema.get("additionalProperties")]
            found += [place.within("additionalProperties", part) for part in further]
    return found


def _items(places: Sequence[Place], index: int) -> list[Place]:
    """Return the schemas of an item of a list."""
    found = []
    for place in places:
        first = place.schema.get("prefixItems", ())
        part = first[index] if index < len(first) else place.schema.get("items")
        found.append(place.within(f"items[{index}]", part))
    return found
