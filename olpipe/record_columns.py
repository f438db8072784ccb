"""The columns of a table of records, for sinks whose rows all have the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olpipe.record import COPIED_FROM, TAG_SCORES, TEXT

REST = "other"
"""The last column: what a record has and no column takes, as JSON."""

JsonSchema = Mapping[str, Any]

_TEXT, _WHOLE, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def _object(**properties: JsonSchema) -> JsonSchema:
    return {"type": "object", "properties": properties}


_FIRST: Mapping[str, JsonSchema] = {
    "file": _TEXT,
    "sha256": _TEXT,
    "image": _object(width=_WHOLE, height=_WHOLE, orientation=_WHOLE, format=_TEXT, frames=_WHOLE),
}
_READ = _object(text=_TEXT, x=_WHOLE, y=_WHOLE, w=_WHOLE, h=_WHOLE, score=_NUMBER)
_LAST: Mapping[str, JsonSchema] = {
    TEXT: {"type": "array", "items": _READ},
    "certainty": _TEXT,
    "review": _TEXT,
    "box_unit": _TEXT,
    "model": _TEXT,
    "model_digest": _TEXT,
    "recipe": _TEXT,
    "usage": _object(prompt_tokens=_WHOLE, sampled_tokens=_WHOLE, forced_tokens=_WHOLE, spliced_tokens=_WHOLE),
    "truncated": {"type": "boolean"},
    COPIED_FROM: _TEXT,
}


def record_columns(record: Mapping[str, Any], schema: JsonSchema) -> dict[str, JsonSchema]:
    """Return the keys of all records of a run in order, each with the JSON Schema of its values.

    A record may lack some of them. `{}` says that nothing is known of the values.

    Args:
        record: Any record of the run.
        schema: JSON Schema of the answers.
    """
    values = _values(record, schema)
    more: dict[str, JsonSchema] = {
        key: {} for key in record if key not in values and key not in _FIRST and key not in _LAST
    }
    return {**_FIRST, **values, **more, **_LAST}


def properties_of(schema: JsonSchema) -> Mapping[str, JsonSchema]:
    """Return the properties of the objects that a JSON Schema describes; nothing where it describes something else."""
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    kinds = schema.get("type", "object") if isinstance(found, Mapping) else ()
    if not isinstance(found, Mapping) or {"object"} != {*([kinds] if isinstance(kinds, str) else kinds)} - {"null"}:
        return {}
    return {name: within if isinstance(within, Mapping) else {} for name, within in found.items()}


def _values(record: Mapping[str, Any], schema: JsonSchema) -> dict[str, JsonSchema]:
    """Return the keys of the task's values, with their schemas."""
    properties = properties_of(schema)
    if "data" in record and "data" not in properties:
        return {"data": schema}
    values: dict[str, JsonSchema] = {}
    for name, within in properties.items():
        values[name] = _scored(within) if name == "objects" else within
        if name == "tags" and TAG_SCORES not in properties:
            values[TAG_SCORES] = {"type": "array", "items": {"type": "number"}}
    return values


def _scored(schema: JsonSchema) -> JsonSchema:
    """Return the schema of `objects` as records have them: each may have a score."""
    items = schema.get("items")
    properties = properties_of(items) if isinstance(items, Mapping) else {}
    if not isinstance(items, Mapping) or not properties or "score" in properties:
        return schema
    return {**schema, "items": {**items, "properties": {**properties, "score": {"type": "number"}}}}
