"""Tell whether two schemas have no value in common, as far as a simple comparison of their keywords shows."""

from __future__ import annotations

from typing import Any

from olpipe.guidance.places import Place

_DEEPEST = 4
"""Levels of properties within properties that are compared."""


def disjoint(first: Place, second: Place, depth: int = 0) -> bool:
    """Say whether no value can satisfy both schemas. False means that there may be such a value."""
    ours, theirs = _faces(first), _faces(second)
    return any(
        _apart(one, other, depth)
        for one in ours
        for other in theirs
        if isinstance(one.schema, dict) and isinstance(other.schema, dict)
    )


def _faces(place: Place) -> list[Place]:
    """Return a schema and all schemas that it refers to or joins by `allOf`. A value must satisfy each of them."""
    found, waiting, seen = [], [place], set()
    while waiting:
        place = waiting.pop()
        if place in seen or not isinstance(place.schema, dict):
            continue
        seen.add(place)
        found.append(place)
        if "$ref" in place.schema:
            waiting.append(place.target("$ref"))
        waiting += [place.within(f"allOf[{number}]", part) for number, part in enumerate(place.schema.get("allOf", ()))]
    return found


def _apart(one: Place, other: Place, depth: int) -> bool:
    """Say whether the keywords of two schemas contradict each other: types, listed values, properties or bounds."""
    ours, theirs = one.schema, other.schema
    types = _types(ours), _types(theirs)
    if all(types) and not types[0] & types[1]:
        return True
    values = _values(ours), _values(theirs)
    if values[0] is not None and not any(map(other.accepts, values[0])):
        return True
    if values[1] is not None and not any(map(one.accepts, values[1])):
        return True
    if types[0] == types[1] == {"object"}:
        return _objects_apart(one, other, depth)
    return bool(types[0]) and types[0] == types[1] <= {"number", "integer"} and _ranges_apart(ours, theirs)


def _types(schema: dict[str, Any]) -> set[str]:
    """Return the types that a schema names; empty where it names none."""
    types = schema.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    return types | {"integer"} if "number" in types else types


def _values(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _objects_apart(one: Place, other: Place, depth: int) -> bool:
    """Say whether two objects differ in a property that one of them must have.

    They do where the property's schemas have no value in common, or where one of the objects cannot have the property.
    """
    ours, theirs = one.schema.get("properties", {}), other.schema.get("properties", {})
    for name in {*one.schema.get("required", ()), *other.schema.get("required", ())}:
        if name in ours and name in theirs:
            if depth < _DEEPEST and disjoint(
                one.within(f"properties.{name}", ours[name]),
                other.within(f"properties.{name}", theirs[name]),
                depth + 1,
            ):
                return True
        elif (name not in ours and _closed(one)) or (name not in theirs and _closed(other)):
            return True
    return False


def _closed(place: Place) -> bool:
    """Say whether an object has only the properties that its schema names."""
    return place.schema.get("additionalProperties") is False and not place.schema.get("patternProperties")


def _ranges_apart(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Say whether two ranges of numbers have no number in common."""
    return _below(ours, theirs) or _below(theirs, ours)


def _below(low: dict[str, Any], high: dict[str, Any]) -> bool:
    """Say whether every number of one range is less than every number of the other."""
    tops = [(low[keyword], keyword != "maximum") for keyword in ("maximum", "exclusiveMaximum") if keyword in low]
    bottoms = [(high[keyword], keyword != "minimum") for keyword in ("minimum", "exclusiveMinimum") if keyword in high]
    return any(
        top < bottom or (top == bottom and (open_top or open_bottom))
        for top, open_top in tops
        for bottom, open_bottom in bottoms
    )
