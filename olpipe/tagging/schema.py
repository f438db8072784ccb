"""Find the tags in a schema, and hold them to the terms of a vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from olpipe.guidance.dialect import on_its_own
from olpipe.guidance.judge import judge

TAGS, OBJECTS = "tags", "objects"


def has_tags(schema: Mapping[str, Any]) -> bool:
    """Say whether a schema has an array of texts called `tags`, right below its `properties`."""
    return _is_texts(_within(schema, "properties", TAGS))


def fitting(schema: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the names that a schema has room for as tags. It may refuse some, for being too long for example.

    Args:
        schema: A schema that `has_tags`.
        names: Names of terms.
    """
    items = on_its_own(schema["properties"][TAGS]["items"], schema)
    return list(_fitting(json.dumps(items), tuple(names)))


@lru_cache(maxsize=4)
def _fitting(items: str, names: tuple[str, ...]) -> tuple[str, ...]:
    validator = judge(json.loads(items))
    return tuple(name for name in names if validator.is_valid(name))


def held_to(schema: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a schema whose tags can only be some names. The same holds for tags of its objects.

    Args:
        schema: A schema that `has_tags`.
        names: The names.
    """
    properties = dict(schema["properties"])
    properties[TAGS] = {**properties[TAGS], "items": {"enum": list(names)}}
    finer = _within(schema, "properties", OBJECTS, "items", "properties", TAGS)
    if _is_texts(finer):
        things = properties[OBJECTS]
        inner = {**things["items"]["properties"], TAGS: {**finer, "items": {"enum": list(names)}}}
        properties[OBJECTS] = {**things, "items": {**things["items"], "properties": inner}}
    return {**schema, "properties": properties}


def _is_texts(part: Any) -> bool:
    """Say whether a schema says that it is of arrays, and that their items are texts."""
    items = _within(part, "items")
    if not isinstance(items, Mapping) or not _is(part, "array"):
        return False
    values = items.get("enum")
    return _is(items, "string") or (isinstance(values, list) and all(isinstance(value, str) for value in values))


def _is(part: Mapping[str, Any], kind: str) -> bool:
    kinds = part.get("type")
    return kinds == kind or (isinstance(kinds, list) and kind in kinds)


def _within(part: Any, *path: str) -> Any:
    for name in path:
        part = part.get(name) if isinstance(part, Mapping) else None
    return part
