"""Which properties of a schema evidence fills. A wrong use of the mark is told when the schema is read.

The rule of each kind is a schema of what is put in. A property can be filled when its own schema and this one have a
value in common.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance.definitions import Definitions
from olpipe.guidance.dialect import parts

ANNOTATION = "x-evidence"
"""The key that marks a property which evidence fills. Its value is one of `KINDS`."""

KINDS = ("tags", "objects", "texts")

_TEXTS = {"type": "array", "items": {"type": "string"}}
_THING = {name: {"type": "integer"} for name in ("x", "y", "w", "h")} | {"type": {"type": "string"}, "tags": _TEXTS}
_OBJECT = {"type": "object", "properties": _THING, "required": [*_THING], "maxProperties": len(_THING)}
_FILLED: Mapping[str, Mapping[str, Any]] = {
    "tags": _TEXTS | {"minItems": 1},
    "texts": _TEXTS | {"minItems": 1},
    "objects": {"type": "array", "items": _OBJECT, "minItems": 1},
}
_TEXTS_HINT = 'write `type = "array"` and `items = { type = "string" }`, or leave `x-evidence` out'
_NEEDS = {
    "tags": ("an array of texts", _TEXTS_HINT),
    "texts": ("an array of texts", _TEXTS_HINT),
    "objects": (
        "an array of objects",
        "its items need room for the whole numbers `x`, `y`, `w` and `h`, the text `type`, the texts `tags`, and for "
        "nothing else",
    ),
}


_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords that hold values, and no schemas. A mark under any other word is looked for."""


def evidence_kinds(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties that evidence fills, each with the kind of evidence, in the order of the schema."""
    properties = schema.get("properties", {})
    return {
        name: part[ANNOTATION] for name, part in properties.items() if isinstance(part, Mapping) and ANNOTATION in part
    }


def check_evidence_kinds(schema: Mapping[str, Any]) -> None:
    """Check every mark in a schema, which is valid and can be enforced.

    Raises:
        SchemaError: A mark is of no known kind, it stands where nothing is filled, or what it marks cannot be filled.
    """
    for error in wrong_marks(schema):
        raise error


def wrong_marks(schema: Mapping[str, Any]) -> Iterator[SchemaError]:
    """Yield an error for each mark that `check_evidence_kinds` refuses."""
    for path, part in parts("$", schema, holds_schemas=lambda word: word not in _VALUES):
        error = _wrong_mark(schema, path, part) if ANNOTATION in part else None
        if error is not None:
            yield error


def _wrong_mark(schema: Mapping[str, Any], path: str, part: Mapping[str, Any]) -> SchemaError | None:
    name = path.removeprefix("$.properties.")
    if schema.get("properties", {}).get(name) is not part:
        return SchemaError(
            f"`{ANNOTATION}` at `{path}` fills nothing: only a property right below `$.properties` can be filled",
            hint="move it there, or leave it out",
        )
    kind = part[ANNOTATION]
    if kind not in KINDS:
        return SchemaError(f"`{ANNOTATION}` at `{path}` cannot be `{kind}`", hint=f"it is one of {', '.join(KINDS)}")
    if not _can_be_filled(schema, name, kind):
        filled, hint = _NEEDS[kind]
        return SchemaError(f'`{ANNOTATION} = "{kind}"` fills {filled}, and `{path}` cannot be one', hint=hint)
    return None


def lacking(schema: Mapping[str, Any], names: Collection[str]) -> dict[str, Any] | None:
    """Return a narrower schema: it takes only objects, and only those without some properties.

    None means that no document satisfies it, that the model would have to make up names of properties, or that nobody
    can tell.
    """
    narrower = {**schema, "type": "object", "properties": {**schema["properties"], **dict.fromkeys(names, False)}}
    closed = narrower | {"additionalProperties": False} if "minProperties" in schema else narrower
    try:
        return narrower if Definitions(closed).top.height < math.inf else None
    except SchemaError:
        return None


def _can_be_filled(schema: Mapping[str, Any], name: str, kind: str) -> bool:
    """Say whether a property has room for evidence of a kind. Where nobody can tell, it counts as having it."""
    part = {"allOf": [schema["properties"][name], _FILLED[kind]]}
    properties = {**schema["properties"], name: part}
    asked = {**schema, "type": "object", "properties": properties, "required": [name]}
    try:
        return Definitions(asked).top.height < math.inf
    except SchemaError:
        return True
