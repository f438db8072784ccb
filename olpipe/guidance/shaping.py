"""Turn one alternative, a list of plain conditions, into what it allows of each type of value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.expand import Branch
from olpipe.guidance.formats import FORMATS
from olpipe.guidance.numbers import number_scalars
from olpipe.guidance.objects import object_shapes
from olpipe.guidance.patterns import all_but, satisfiable, string_schema, translate
from olpipe.guidance.places import Place
from olpipe.guidance.shapes import ArrayShape, Scalar, Shape


def shapes(branch: Branch) -> Iterator[Shape]:
    """Yield what a branch allows: a shape or several for each type, and none where it allows no value.

    Raises:
        SchemaError: A condition cannot be enforced, or is beyond a limit. The message names its path.
    """
    values = _values(branch)
    if values is not None:
        if values:
            yield Scalar({"enum": values}, tuple(values))
        return
    if "null" in branch.types and not any(value is None for value in branch.excluded):
        yield Scalar({"type": "null"}, (None,))
    if "boolean" in branch.types:
        left = [value for value in (True, False) if not any(value is other for other in branch.excluded)]
        if left:
            yield Scalar({"enum": left}, tuple(left))
    if "integer" in branch.types or "number" in branch.types:
        schemas = [place.schema for place in branch.parts]
        yield from number_scalars(schemas, integer="number" not in branch.types, excluded=branch.excluded)
    if "string" in branch.types:
        yield from _strings(branch)
    if "array" in branch.types:
        yield from _arrays(branch)
    if "object" in branch.types:
        yield from object_shapes(branch)


def _values(branch: Branch) -> list[Any] | None:
    """Return the values of an enumeration that satisfy all conditions, or None when no condition is an enumeration."""
    lists = [
        [place.schema["const"]] if "const" in place.schema else place.schema["enum"]
        for place in branch.parts
        if "const" in place.schema or "enum" in place.schema
    ]
    if not lists:
        return None
    fewest = min(lists, key=len)
    if len(fewest) > limits.MOST_VALUES:
        raise SchemaError(f"`{branch.parts[0].path}` lists more than {limits.MOST_VALUES} values")
    # Where there is one enumeration, its values satisfy it. Only conditions that say more have to be checked.
    judges = [place for place in branch.parts if len(lists) > 1 or set(place.schema) - {"enum", "const"}]
    return [
        value
        for value in fewest
        if all(place.accepts(value) for place in judges) and not any(_same(value, other) for other in branch.excluded)
    ]


def _same(value: Any, other: Any) -> bool:
    """Say whether two values are equal in JSON. In Python, `True` equals 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _strings(branch: Branch) -> Iterator[Scalar]:
    """Yield what a branch allows of strings: one shape, or none."""
    # 1. What the conditions say together.
    patterns: list[str] = []
    least, most = 0, None
    for place in branch.parts:
        schema = place.schema
        least = max(least, int(schema.get("minLength", 0)))
        if "maxLength" in schema:
            most = int(schema["maxLength"] if most is None else min(most, schema["maxLength"]))
        if "pattern" in schema:
            patterns += translate(schema["pattern"], f"{place.path}.pattern")
        if schema.get("format") in FORMATS:
            patterns.append(f"^(?:{FORMATS[schema['format']]})$")
    _check_length(branch, "minLength", least)
    # 2. Excluded texts: a pattern of all other texts.
    excluded = [value for value in branch.excluded if isinstance(value, str)]
    if excluded:
        patterns.append(f"^(?:{all_but(excluded)})$")
    # 3. The longest length that the grammar engine can cope with.
    patterns = list(dict.fromkeys(patterns))
    longest = _longest(tuple(patterns), least, most)
    if longest is not None:
        yield Scalar(string_schema(patterns, least, longest))


def _check_length(branch: Branch, keyword: str, least: float) -> None:
    if least > limits.LONGEST_REQUIRED:
        raise SchemaError(f"`{branch.parts[0].path}` has a `{keyword}` above {limits.LONGEST_REQUIRED:,}")


def _longest(patterns: tuple[str, ...], least: int, most: int | None) -> int | None:
    """Return the most characters that a string may have, or None when there is no such string.

    The longer a string may be, the more work a pattern is for the grammar engine. So where the schema gives no
    `maxLength`, shorter bounds are tried as well.
    """
    caps = [max(cap, least) for cap in limits.SHORTER_CAPS] if most is None else [most]
    if most is not None and least > most:
        return None
    for cap in caps:
        try:
            return cap if not patterns or satisfiable(patterns, least, cap) else None
        except SchemaError:
            if cap == caps[-1]:
                raise
    return None


def _arrays(branch: Branch) -> Iterator[ArrayShape]:
    """Yield what a branch allows of arrays: a shape for each place that `contains` may be satisfied at, or none."""
    # 1. How many items there may be.
    schemas = [place.schema for place in branch.parts]
    length = max((len(schema.get("prefixItems", ())) for schema in schemas), default=0)
    least = max((schema.get("minItems", 0) for schema in schemas), default=0)
    _check_length(branch, "minItems", least)
    bounds = [schema["maxItems"] for schema in schemas if "maxItems" in schema]
    most = min(bounds) if bounds else max(limits.MOST_ITEMS, least, length)
    if any(schema.get("unevaluatedItems") is False for schema in schemas) and not any("items" in s for s in schemas):
        most = min(most, length)
    if any(isinstance(value, list) for value in branch.excluded):
        raise SchemaError(f"`{branch.parts[0].path}` excludes an array by its value, which no grammar can express")
    # 2. What they are, and what the array must contain.
    prefix = [tuple(_items(branch.parts, index)) for index in range(length)]
    rest = tuple(_items(branch.parts, length))
    unique = any(schema.get("uniqueItems") is True for schema in schemas)
    for first, least_, most_ in _containing(branch.parts, prefix, rest, (int(least), int(most))):
        if least_ <= most_:
            yield ArrayShape(first, rest, least_, most_, unique)


def _items(parts: Iterable[Place], index: int) -> Iterator[Place]:
    """Yield the schemas that apply to the item at an index. An index behind all prefixes stands for all items there."""
    for place in parts:
        prefix = place.schema.get("prefixItems", ())
        if index < len(prefix):
            yield place.within(f"prefixItems[{index}]", prefix[index])
        elif "items" in place.schema:
            yield place.within("items", place.schema["items"])
        elif "unevaluatedItems" in place.schema and place.schema["unevaluatedItems"] is not False:
            yield place.within("unevaluatedItems", place.schema["unevaluatedItems"])


def _containing(
    parts: Iterable[Place], prefix: list[tuple[Place, ...]], rest: tuple[Place, ...], bounds: tuple[int, int]
) -> Iterator[tuple[list[tuple[Place, ...]], int, int]]:
    """Yield arrays that contain what `contains` asks for, each as its first items, its `minItems` and its `maxItems`.

    The items that must be contained stand side by side. They begin at an item of the prefix, or right behind it.
    """
    # 1. Which items must be contained, and how often.
    least, most = bounds
    wanted: list[Place] = []
    for place in parts:
        if "contains" not in place.schema:
            continue
        count = int(place.schema.get("minContains", 1))
        wanted += [place.within("contains", place.schema["contains"])] * count
        if "maxContains" in place.schema:
            most = min(most, int(place.schema["maxContains"]))
    if len(wanted) > most:
        return
    if not wanted:
        yield prefix, least, most
        return
    # 2. Each index at which they may begin.
    for start in range(len(prefix) + 1):
        beginning = [*prefix, *(rest for _ in range(start + len(wanted) - len(prefix)))]
        for offset, contained in enumerate(wanted):
            beginning[start + offset] = (*beginning[start + offset], contained)
        yield beginning, max(least, start + len(wanted)), most
