"""Find what one alternative allows of objects: the names of their properties, and the schemas of each value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.expand import Branch
from olpipe.guidance.formats import FORMATS
from olpipe.guidance.patterns import explosive, satisfiable, some_texts, translate
from olpipe.guidance.places import Place
from olpipe.guidance.shapes import ObjectShape, Places


def object_shapes(branch: Branch) -> Iterator[ObjectShape]:
    """Yield what a branch allows of objects: one shape, or none.

    Raises:
        SchemaError: A condition cannot be enforced, or is beyond a limit. The message names its path.
    """
    parts = branch.parts
    if any(isinstance(value, dict) for value in branch.excluded):
        raise SchemaError(f"`{parts[0].path}` excludes an object by its value, which no grammar can express")
    # 1. How many properties there may be, and those that the schema names.
    least = max((int(place.schema.get("minProperties", 0)) for place in parts), default=0)
    bounds = [int(place.schema["maxProperties"]) for place in parts if "maxProperties" in place.schema]
    names = _names(branch)
    if len(names) > limits.MOST_PROPERTIES:
        raise SchemaError(f"`{parts[0].path}` has more than {limits.MOST_PROPERTIES} properties")
    shape = ObjectShape(
        {name: value_places(parts, name) for name in names},
        branch.required,
        least=max(least, len(branch.required)),
        most=min(bounds) if bounds else None,
        forbidden=branch.forbidden,
    )
    # 2. The model makes up further names only where the schema names no property, or too few.
    if len(names) < least or not (names or _is_empty(parts)):
        shape.maps = _maps(parts)
    if (shape.most is None or shape.least <= shape.most) and _has_enough_names(shape):
        yield shape


def _is_empty(parts: Sequence[Place]) -> bool:
    """Say whether an object is given as one without properties: `properties` is `{}`, and nothing is said of others."""
    others = {"additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties"}
    given = any(place.schema.get("properties") == {} for place in parts)
    return given and not any(others & place.schema.keys() for place in parts)


def _has_enough_names(shape: ObjectShape) -> bool:
    """Say whether there are as many different names as `minProperties` asks for. Of very many, nobody counts them."""
    missing = min(shape.least - len(shape.properties), limits.MOST_COUNTED_NAMES)
    if missing <= 0 or any(not expression for expression, _ in shape.maps):
        return True
    taken = shape.properties.keys() | shape.forbidden
    found: set[str] = set()
    for expression, _ in shape.maps:
        found |= some_texts(expression, missing + len(taken)) - taken
    return len(found) >= missing


def _names(branch: Branch) -> list[str]:
    """Return the names of properties, in the order in which the schema first mentions them."""
    # 1. All names that the conditions mention.
    names: dict[str, None] = {}
    for place in branch.parts:
        names |= dict.fromkeys(place.schema.get("properties", ()))
    names |= dict.fromkeys(name for place in branch.parts for name in place.schema.get("required", ()))
    for _, part in _name_schemas(branch.parts):
        if isinstance(part.schema, dict) and ("enum" in part.schema or "const" in part.schema):
            listed = [part.schema["const"]] if "const" in part.schema else part.schema["enum"]
            names |= dict.fromkeys(name for name in listed if isinstance(name, str))
    # 2. Those of them that are allowed.
    judges = [part for _, part in _name_schemas(branch.parts)]
    return [name for name in names if name not in branch.forbidden and all(judge.accepts(name) for judge in judges)]


def _name_schemas(parts: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    """Yield each schema with `propertyNames`, and the schema that it holds names to."""
    for place in parts:
        if "propertyNames" in place.schema:
            yield place, place.within("propertyNames", place.schema["propertyNames"])


def value_places(parts: Sequence[Place], name: str) -> Places:
    """Return the schemas that apply to the value of the property with a name."""
    found: list[Place] = []
    evaluated = False
    for place in parts:
        schema = place.schema
        of_place = []
        if name in schema.get("properties", {}):
            of_place.append(place.within(f"properties.{name}", schema["properties"][name]))
        for pattern, part in schema.get("patternProperties", {}).items():
            _check_name_pattern(pattern, place)
            if re.search(pattern, name):
                of_place.append(place.within(f"patternProperties.{pattern}", part))
        if not of_place and "additionalProperties" in schema:
            of_place.append(place.within("additionalProperties", schema["additionalProperties"]))
        evaluated = evaluated or bool(of_place)
        found += of_place
    return (*found, *(() if evaluated else _unevaluated(parts)))


def _check_name_pattern(pattern: str, place: Place) -> None:
    """Refuse a pattern of names that cannot be enforced, or that a search may take forever with."""
    path = f"{place.path}.patternProperties"
    translate(pattern, path)
    if explosive(pattern):
        raise SchemaError(f"`{path}` cannot be checked: `{pattern}` has repeats within repeats, or too many of them")


def _unevaluated(parts: Sequence[Place]) -> Iterator[Place]:
    for place in parts:
        if "unevaluatedProperties" in place.schema:
            yield place.within("unevaluatedProperties", place.schema["unevaluatedProperties"])


def _maps(parts: Sequence[Place]) -> list[tuple[str, Places]]:
    """Return expressions of the names that the model may make up, each with the schemas of their values.

    No name satisfies two of the expressions, so it is clear which schemas apply. An empty expression stands for any
    name.
    """
    patterns = [
        (f"{place.path}.patternProperties", pattern)
        for place in parts
        for pattern in place.schema.get("patternProperties", ())
    ]
    name_patterns = [expression for _, part in _name_schemas(parts) for expression in _name_expressions(part)]
    # 1. Without `patternProperties` there is one expression: that of `propertyNames`, or any name.
    open_names = all("patternProperties" not in place.schema for place in parts)
    if open_names and len(name_patterns) < 2:
        pattern = name_patterns[0] if name_patterns else ""
        return [(pattern, _further(parts, None))]
    if open_names:
        raise SchemaError(
            f"`{parts[0].path}.propertyNames` cannot be enforced: it says several things about names",
            hint="write one `pattern` that says it all, such as `^a.{0,4}$`",
        )
    if name_patterns:
        raise SchemaError(f"`{parts[0].path}.propertyNames` and `patternProperties` together cannot be enforced")
    # 2. With `patternProperties`, these expressions. One that overlaps an earlier one is left out.
    for place in parts:
        for pattern in place.schema.get("patternProperties", ()):
            _check_name_pattern(pattern, place)
    maps: list[tuple[str, Places]] = []
    for path, pattern in patterns:
        expressions = translate(pattern, path)
        if len(expressions) > 1:
            raise SchemaError(f"`{path}` cannot be enforced: `{pattern}` looks ahead")
        if all(not _overlap(expressions[0], other) for other, _ in maps):
            maps.append((expressions[0], _further(parts, expressions[0])))
    return maps


def _overlap(first: str, second: str) -> bool:
    """Say whether a name may satisfy both expressions."""
    try:
        return satisfiable((first, second), 0, limits.MOST_CHARACTERS)
    except SchemaError:  # nobody can tell, so it counts as possible
        return True


def _further(parts: Sequence[Place], expression: str | None) -> Places:
    """Return every schema that may apply to the value of a name that the model makes up.

    Args:
        parts: The schemas of the object.
        expression: What the name satisfies; None where there are no `patternProperties`.
    """
    found: list[Place] = []
    for place in parts:
        schema = place.schema
        matching, certain = [], False
        for pattern, part in schema.get("patternProperties", {}).items():
            own = translate(pattern, f"{place.path}.patternProperties")[0]
            if expression is not None and _overlap(expression, own):
                matching.append(place.within(f"patternProperties.{pattern}", part))
                certain = certain or own == expression
        if not certain and "additionalProperties" in schema:
            matching.append(place.within("additionalProperties", schema["additionalProperties"]))
        found += matching
    evaluated = any({"additionalProperties", "patternProperties"} & place.schema.keys() for place in parts)
    return (*found, *(() if evaluated else _unevaluated(parts)))


def _name_expressions(part: Place) -> list[str]:
    """Return the expressions that `propertyNames` holds names to.

    Raises:
        SchemaError: It holds them to more than expressions, formats and lengths.
    """
    schema: Any = part.schema
    if schema is True:
        return []
    if schema is False:
        return ["^[^\\s\\S]$"]  # no name satisfies this expression
    if set(schema) & {"enum", "const"}:
        return ["^[^\\s\\S]$"]  # the listed names are properties already (see `_names`), and no others are allowed
    rest = set(schema) - {"type", "pattern", "minLength", "maxLength", "format", "title", "description", "$comment"}
    if rest:
        raise SchemaError(f"`{part.path}.{min(rest)}` cannot be enforced", hint="describe the names by a `pattern`")
    expressions = translate(schema["pattern"], f"{part.path}.pattern") if "pattern" in schema else []
    if schema.get("format") in FORMATS:
        expressions.append(f"^(?:{FORMATS[schema['format']]})$")
    if "minLength" in schema or "maxLength" in schema:
        expressions.append(f"^(?s:.{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}})$")
    return expressions
