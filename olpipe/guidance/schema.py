"""From a JSON Schema as given to the wire schema that the decoder holds the model to.

The wire schema accepts a subset of what the given one accepts: every text and list is bounded, objects
have just the properties they name, and what only annotates is gone. What a grammar cannot say
(`uniqueItems`) is left to `guidance.validate`. The order of `properties` is the order of generation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from olpipe.errors import SchemaError

MOST_CHARACTERS = 2_000
"""Cap of a string that the schema does not bound itself."""

MOST_ITEMS = 64
"""Cap of an array that the schema does not bound itself."""

LARGEST_INTEGER = 2**53 - 1
"""Bound of an integer that the schema does not bound itself: what every JSON reader keeps exact."""

EVIDENCE_KEY = "x-evidence"
"""Marks a top-level property that perceivers can fill: `tags` or `objects`."""

_ANNOTATIONS = frozenset(
    {"title", "description", "examples", "example", "default", "deprecated", "readOnly", "writeOnly", "$comment"}
    | {"$schema", "$id", "contentMediaType", "contentEncoding", "uniqueItems"}
)
_COMBINERS = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref", "$dynamicRef", "patternProperties")
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_DEEPEST = 64


def read_schema(source: str) -> dict[str, Any]:
    """Read a schema's JSON text, keeping the order of its keys.

    Raises:
        SchemaError: Not JSON, or not an object.
    """
    try:
        schema = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"the schema is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise SchemaError("the schema is not a JSON object", hint="for any JSON object use `--format json`")
    return schema


def check_schema(source: str) -> dict[str, Any]:
    """Read a schema and check it against the rules of JSON Schema 2020-12.

    Raises:
        SchemaError: Not JSON, not an object, or not a valid JSON Schema; says where.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError as InvalidSchema

    schema = read_schema(source)
    try:
        Draft202012Validator.check_schema(schema)
    except InvalidSchema as error:
        raise SchemaError(f"the schema is not valid at `{error.json_path}`: {error.message}") from error
    return schema


def wire_schema(schema: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema to decode to, less the top-level properties whose value is known."""
    wire: dict[str, Any] = _bounded(schema, depth=0, combined=False)
    if without:
        wire["properties"] = {name: part for name, part in wire["properties"].items() if name not in without}
        wire["required"] = [name for name in wire.get("required", ()) if name not in without]
    return wire


def property_order(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the top-level properties in the order in which a document has them."""
    return tuple(schema.get("properties", {}))


def _bounded(schema: Any, *, depth: int, combined: bool) -> Any:
    """Return a copy with caps; `combined` says that other schemas apply to the same value."""
    if depth > _DEEPEST:
        raise SchemaError(f"the schema nests deeper than {_DEEPEST} levels")
    if not isinstance(schema, Mapping):
        return schema
    combines = combined or any(key in schema for key in _COMBINERS)
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _ANNOTATIONS or key.startswith("x-"):
            continue
        if key in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            value = {name: _bounded(part, depth=depth + 1, combined=False) for name, part in value.items()}
        elif key in _LISTS_OF_SCHEMAS and isinstance(value, list):
            inside = key == "allOf" or (combines and key != "prefixItems")
            value = [_bounded(part, depth=depth + 1, combined=inside) for part in value]
        elif key in _SCHEMAS:
            value = _bounded(value, depth=depth + 1, combined=False)
        result[key] = value
    if "const" not in result and "enum" not in result:
        _cap(result, combines=combines)
    return result


def _cap(schema: dict[str, Any], *, combines: bool) -> None:
    """Add bounds for each type the schema names itself and leaves open."""
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else types
    if "string" in types and not {"pattern", "format"} & schema.keys():
        schema.setdefault("maxLength", max(MOST_CHARACTERS, schema.get("minLength", 0)))
    if "array" in types:
        schema.setdefault("maxItems", max(MOST_ITEMS, schema.get("minItems", 0)))
    if "integer" in types and not {"exclusiveMinimum", "exclusiveMaximum", "minimum", "maximum"} & schema.keys():
        schema |= {"minimum": -LARGEST_INTEGER, "maximum": LARGEST_INTEGER}
    named = schema.get("properties", {})
    if "object" in types and named and not combines and set(schema.get("required", ())) <= set(named):
        schema["additionalProperties"] = False
