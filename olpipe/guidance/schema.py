"""Read JSON Schemas, and check that they are valid and not too large."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.dialect import MAPS_OF_SCHEMAS, validator_class
from olpipe.guidance.evidence import check_evidence_kinds
from olpipe.guidance.keywords import check_keywords, check_wrapper
from olpipe.guidance.wire import wire_schema


def read_schema(source: str) -> dict[str, Any]:
    """Read a schema's JSON text. Its keys keep their order. A byte order mark before it is passed over.

    Raises:
        SchemaError: The text is not a JSON object, or it is too large.
    """
    if len(source) > limits.LARGEST_SOURCE:
        raise SchemaError(f"the schema has {len(source):,} characters, more than {limits.LARGEST_SOURCE:,}")
    try:
        schema = orjson.loads(source.removeprefix("\ufeff"))
    except orjson.JSONDecodeError as error:
        reason, hint = _not_json(source, error)
        raise SchemaError(f"the schema is not JSON: {reason}", hint=hint) from error
    if not isinstance(schema, dict):
        raise SchemaError("the schema is not a JSON object", hint="for any JSON object use `--format json`")
    _check_size(schema)
    return schema


def valid_schema(source: str) -> dict[str, Any]:
    """Read a schema and check it against the rules of its draft of JSON Schema.

    Raises:
        SchemaError: The text is not a JSON object, it is too large, or it is not a valid JSON Schema. The message says
            where.
    """
    from jsonschema.exceptions import SchemaError as InvalidSchema

    schema = read_schema(source)
    try:
        validator_class(schema).check_schema(schema)
    except InvalidSchema as error:
        message = error.message if len(error.message) < 300 else f"{error.message[:300]}…"
        raise SchemaError(f"the schema is not valid at `{error.json_path}`: {message}") from error
    return schema


def check_schema(source: str) -> dict[str, Any]:
    """Read a schema and check that it is valid and that it can be enforced.

    Raises:
        SchemaError: It is not valid, no document satisfies it, it cannot be enforced, or a keyword in it is misspelt.
            The message says where.
    """
    check_wrapper(read_schema(source))
    schema = valid_schema(source)
    check_keywords(schema)
    wire_schema(schema)
    check_evidence_kinds(schema)
    return schema


def property_order(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the top-level properties, in the order in which a document has them."""
    return tuple(schema.get("properties", {}))


def _check_size(schema: dict[str, Any]) -> None:
    """Refuse a schema with too many levels or too many parts. Objects in `const`, `enum` and annotations count, too."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    count = 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if depth > limits.DEEPEST_SCHEMA:
            raise SchemaError(f"the schema nests deeper than {limits.DEEPEST_SCHEMA} levels")
        if count > limits.MOST_SUBSCHEMAS:
            raise SchemaError(f"the schema has more than {limits.MOST_SUBSCHEMAS:,} parts", hint="make it smaller")
        for keyword, value in part.items():
            inner = value if isinstance(value, list) else [value]
            if keyword in MAPS_OF_SCHEMAS and isinstance(value, dict):
                inner = list(value.values())
            waiting += [(each, depth + 1) for each in inner if isinstance(each, dict)]


def _not_json(source: str, error: orjson.JSONDecodeError) -> tuple[str, str | None]:
    """Return what a text is that is not JSON, and what to do about it where that is known."""
    text = source.removeprefix("\ufeff")
    if not text.strip():
        return "it is empty", None
    if re.match(r"\s*(?:#.*\s+|---\s+)*[\w$'\"-]+\s*:(?:\s|$)", text):
        return "it looks like YAML", "write it as JSON"
    bare = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)  # without what stands in strings
    found = re.search(r"//|/\*|^\s*#", bare, re.MULTILINE)
    if found:
        hint = "leave comments out, or write them as `$comment`"
        line = bare.count("\n", 0, found.end()) + 1
        return f"line {line} has a comment", hint
    found = re.search(r",\s*[}\]]", bare)
    if found:
        line = bare.count("\n", 0, found.start()) + 1
        return f"a comma on line {line} stands before a closing bracket", "leave that comma out"
    return str(error), None
