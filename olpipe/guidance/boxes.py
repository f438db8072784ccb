"""Rewrite schemas that ask for boxes: in the way that a model was trained to say them, or without them.

A schema asks for a box where an object has the whole numbers `x`, `y`, `w` and `h`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from olpipe.guidance.dialect import DEFINITIONS, MAPS_OF_SCHEMAS, SCHEMAS
from olpipe.guidance.places import Document, Place
from olpipe.image import BoxDialect

SIDES = ("x", "y", "w", "h")
KIND = "type"
"""The property that says what is in a box."""

_COUNTS = frozenset({"minProperties", "maxProperties", "dependentRequired", "dependencies"})
"""Keywords about properties that are rewritten. The finished document is judged by them."""

_NEEDED = frozenset({"items", "prefixItems", "allOf"})
"""Keywords whose schemas all count: where one of them needs a box, so does the whole."""

_CHOICES = frozenset({"anyOf", "oneOf"})
_PROPERTIES = frozenset({"properties", "patternProperties", "additionalProperties"})
_NOTHING = object()


def is_box(schema: Any) -> bool:
    """Say whether a schema is that of an object with a box."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return False
    sides = [properties.get(side) for side in SIDES]
    return all(isinstance(side, Mapping) and side.get("type") == "integer" for side in sides)


def names(schema: Mapping[str, Any], dialect: BoxDialect) -> dict[str, str]:
    """Return the properties of an object with a box as the model says them, in its order, each with its own name.

    The numbers stand for all four sides, and have the empty name. No entry at all means that the object has a property
    with the dialect's key, so that nobody could tell the two apart. Then the schema stays as it is.
    """
    properties = schema["properties"]
    if dialect.key in properties:
        return {}
    kind = {} if KIND not in properties else {KIND if dialect.label in properties else dialect.label: KIND}
    return {dialect.key: "", **kind, **{name: name for name in properties if name not in (*SIDES, KIND)}}


def spoken(schema: Any, dialect: BoxDialect) -> Any:
    """Return a schema whose boxes, wherever they are, are said as a model was trained to say them.

    Such an object begins with the four numbers, then comes what is in the box, then everything else.
    """
    if not isinstance(schema, Mapping):
        return schema
    result = _changed(schema, lambda part: spoken(part, dialect))
    said = names(schema, dialect) if is_box(schema) else {}
    if not said:
        return result
    own, required = result["properties"], schema.get("required", ())
    box = {"type": "array", "items": dict(dialect.number), "minItems": 4, "maxItems": 4}
    result = {word: value for word, value in result.items() if word not in _COUNTS}
    result["properties"] = {name: own[of] if of else box for name, of in said.items()}
    if required:
        needed = [name for name, of in said.items() if of in required or (not of and not {*SIDES}.isdisjoint(required))]
        result["required"] = needed + [name for name in required if name not in own]
    return result


def _changed(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a schema with the schemas right below it changed."""
    result: dict[str, Any] = {}
    for word, value in schema.items():
        if word in MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            result[word] = {name: change(part) for name, part in value.items()}
        elif word in SCHEMAS:
            result[word] = [change(part) for part in value] if isinstance(value, list) else change(value)
        else:
            result[word] = value
    return result


class Boxless:
    """A schema without boxes, for a model that was not trained to say any.

    Where an object may lack its box, it loses the box only. Where it must have one, the property that holds it is left
    out. So is the property that holds a list of such objects: an empty list would mean that nothing was found.

    Attributes:
        schema: What is left; None where every document would need a box.
        lost: The paths of what is left out, such as `$.properties.objects`: properties, and alternatives.
    """

    def __init__(self, schema: Mapping[str, Any], *, known: Collection[str] = ()) -> None:
        """Leave out the boxes.

        Args:
            schema: The schema.
            known: Top-level properties that the model does not write. They stay.
        """
        self._known = known
        self._lost: dict[str, None] = {}
        self._needs: dict[int | bool, bool] = {}  # whether values need a box, by the keys of places
        self._root = Document(schema).root()
        left = self._left(self._root)
        self.schema: dict[str, Any] | None = None if left is _NOTHING else left
        self.lost = tuple(self._lost)

    def _left(self, place: Place) -> Any:
        """Return what is left of a schema; `_NOTHING` where its values need a box."""
        if not isinstance(place.raw, Mapping):
            return place.raw
        schema = dict(place.raw)
        if "$ref" in schema and self._refers_to_box(place):
            return _NOTHING
        for word in [word for word in schema if word in _NEEDED]:
            parts = self._parts(place, word, schema[word])
            if any(part is _NOTHING for part in parts):
                return _NOTHING
            schema[word] = parts if isinstance(schema[word], list) else parts[0]
        for word in [word for word in schema if word in _CHOICES]:
            parts = [part for part in self._parts(place, word, schema[word]) if part is not _NOTHING]
            if not parts:
                return _NOTHING
            if len(parts) < len(schema[word]):
                self._lost[f"{place.path}.{word}"] = None
            schema[word] = parts
        for word in [
            word for word in schema if word in DEFINITIONS
        ]:  # nothing refers to those that need a box any more
            left = {name: self._left(place.within(f"{word}.{name}", part)) for name, part in schema[word].items()}
            schema[word] = {name: part for name, part in left.items() if part is not _NOTHING}
        return self._object(place, schema)

    def _object(self, place: Place, schema: dict[str, Any]) -> Any:
        """Return what is left of a schema once the properties that need a box are left out."""
        required = schema.get("required", ())
        box = SIDES if is_box(schema) else ()
        if not {*box}.isdisjoint(required):
            return _NOTHING
        for word in [word for word in schema if word in _PROPERTIES]:
            given = {"": schema[word]} if word == "additionalProperties" else schema[word]
            left = {name: self._property(place, f"{word}.{name}", part, name in box) for name, part in given.items()}
            left = {name: part for name, part in left.items() if part is not _NOTHING}
            schema[word] = left.get("", False) if word == "additionalProperties" else left
        if _names_some(place.raw) and not _names_some(schema):
            return _NOTHING
        if required:
            gone = place.raw.get("properties", {}).keys() - schema.get("properties", {}).keys()
            schema["required"] = [name for name in required if name not in gone]
        return schema

    def _property(self, place: Place, step: str, part: Any, side: bool) -> Any:
        """Return what is left of the schema of a property, and note where nothing is left."""
        if place == self._root and step.removeprefix("properties.") in self._known:
            return part
        below = place.within(step.rstrip("."), part)
        left = _NOTHING if side else self._left(below)
        if left is _NOTHING:
            self._lost[below.path] = None
        return left

    def _parts(self, place: Place, word: str, value: Any) -> list[Any]:
        given = value if isinstance(value, list) else [value]
        return [self._left(place.within(f"{word}[{index}]", part)) for index, part in enumerate(given)]

    def _refers_to_box(self, place: Place) -> bool:
        """Say whether a reference leads to values that need a box. A circle of references alone does not."""
        target = place.target("$ref")
        if target.key not in self._needs:
            self._needs[target.key] = False
            self._needs[target.key] = self._left(target) is _NOTHING
        return self._needs[target.key]


def _names_some(schema: Mapping[str, Any]) -> bool:
    """Say whether a schema has schemas of properties."""
    return any(isinstance(schema.get(word), Mapping) and schema[word] for word in _PROPERTIES)
