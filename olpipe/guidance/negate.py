"""Express `not` without `not`: by schemas that say the opposite.

A value does not satisfy a schema when it breaks one of its keywords. So there is one opposite for each keyword. Where a
grammar cannot express the opposite of a keyword, it is left out. The opposites then allow only a part of what `not`
allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olpipe.guidance.places import Place

_TYPES = ("null", "boolean", "number", "string", "array", "object")
# For each keyword: the type that it applies to, and what gives the opposite keyword with its value, or None.
_OPPOSITES: dict[str, tuple[str, Callable[[Any], tuple[str, Any] | None]]] = {
    "minimum": ("number", lambda bound: ("exclusiveMaximum", bound)),
    "maximum": ("number", lambda bound: ("exclusiveMinimum", bound)),
    "exclusiveMinimum": ("number", lambda bound: ("maximum", bound)),
    "exclusiveMaximum": ("number", lambda bound: ("minimum", bound)),
    "minLength": ("string", lambda least: ("maxLength", least - 1) if least else None),
    "maxLength": ("string", lambda most: ("minLength", most + 1)),
    "minItems": ("array", lambda least: ("maxItems", least - 1) if least else None),
    "maxItems": ("array", lambda most: ("minItems", most + 1)),
    "minProperties": ("object", lambda least: ("maxProperties", least - 1) if least else None),
    "maxProperties": ("object", lambda most: ("minProperties", most + 1)),
}


def negate(place: Place) -> list[Place]:
    """Return the opposites of a schema: `place` does not hold where one of them holds.

    The list is empty where a grammar can express none of them.
    """
    if isinstance(place.schema, Mapping) and set(place.schema) == {"$ref"}:
        place = place.target("$ref")
    return place.derive("not", lambda: [("not", schema) for schema in _broken(place.schema)])


def _broken(schema: Any) -> list[Any]:
    """Return one schema for each keyword that can be broken. A `not` within these is taken apart in its turn."""
    if isinstance(schema, bool):
        return [] if schema else [True]
    made: list[Any] = []
    if "$ref" in schema:
        made.append({"not": {"$ref": schema["$ref"]}})
    if "type" in schema:
        made.append({"type": _other_types(schema["type"])})
    if "const" in schema:
        made.append({"not": {"enum": [schema["const"]]}})
    if "enum" in schema:
        made.append({"not": {"enum": schema["enum"]}})
    for keyword, (kind, opposite) in _OPPOSITES.items():
        broken = opposite(schema[keyword]) if keyword in schema else None
        if broken is not None:
            made.append({"type": kind, broken[0]: broken[1]})
    made += _broken_objects(schema) + _broken_arrays(schema)
    made += [{"not": part} for part in schema.get("allOf", ())]
    if "anyOf" in schema:
        made.append({"allOf": [{"not": part} for part in schema["anyOf"]]})
    if "not" in schema:
        made.append(schema["not"])
    return made


def _other_types(types: str | list[str]) -> list[str]:
    named = {types} if isinstance(types, str) else set(types)
    if "integer" in named:  # no grammar is asked for numbers that are not integers
        named.add("number")
    return [kind for kind in _TYPES if kind not in named]


def _broken_objects(schema: Mapping[str, Any]) -> list[Any]:
    made: list[Any] = [{"type": "object", "properties": {name: False}} for name in schema.get("required", ())]
    for name, part in schema.get("properties", {}).items():
        made.append({"type": "object", "required": [name], "properties": {name: {"not": part}}})
    return made


def _broken_arrays(schema: Mapping[str, Any]) -> list[Any]:
    made: list[Any] = []
    if "items" in schema and "prefixItems" not in schema:
        made.append({"type": "array", "contains": {"not": schema["items"]}})
    if "contains" in schema and schema.get("minContains", 1) == 1 and "maxContains" not in schema:
        made.append({"type": "array", "items": {"not": schema["contains"]}})
    return made
