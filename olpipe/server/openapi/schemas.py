"""Small pieces that the document is put together from.

A field of a request that is null counts as missing, so every field that is not required may be null.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
EVENT: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": TEXT, "data": {"type": "string", "description": "JSON, or `[DONE]`."}},
}
"""An event of a stream."""
NANOSECONDS: Schema = {"type": "integer", "minimum": 0, "description": "Nanoseconds."}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def about(schema: Schema, description: str) -> Schema:
    """Return a schema with a description."""
    return {**schema, "description": description}


def whole(least: float | None = None, most: float | None = None) -> Schema:
    """Return the schema of a whole number."""
    return _within({"type": "integer"}, least, most)


def number(least: float | None = None, most: float | None = None) -> Schema:
    """Return the schema of a number."""
    return _within({"type": "number"}, least, most)


def one_of(*words: str) -> Schema:
    """Return the schema of one of some texts."""
    return {"type": "string", "enum": list(words)}


def always(word: str) -> Schema:
    """Return the schema of a text that is always the same."""
    return {"type": "string", "const": word}


def list_of(schema: Schema, least: int = 0) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema, **({"minItems": least} if least else {})}


def either(*schemas: Schema) -> Schema:
    """Return a schema that any of some schemas satisfies."""
    return {"anyOf": list(schemas)}


def or_null(schema: Schema) -> Schema:
    """Return a schema that null satisfies, too."""
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return schema if not schema else {"anyOf": [schema, NULL], **_described(schema)}


def request(required: dict[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of an object that a client sends. Fields that are not known are allowed and not read."""
    fields = {**required, **{name: or_null(schema) for name, schema in optional.items()}}
    return {"type": "object", "properties": fields, **({"required": list(required)} if required else {})}


def answer(required: dict[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of an object that the server sends."""
    fields = {**required, **optional}
    return {"type": "object", "properties": fields, **({"required": list(required)} if required else {})}


def _within(schema: Schema, least: float | None, most: float | None) -> Schema:
    bounds = {"minimum": least, "maximum": most}
    return {**schema, **{name: bound for name, bound in bounds.items() if bound is not None}}


def _described(schema: Schema) -> Schema:
    return {"description": schema["description"]} if "description" in schema else {}
