"""The smallest document that a simple JSON Schema accepts, for backends without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olpipe.errors import SchemaError

_PLAIN: dict[str, Any] = {"boolean": False, "null": None}


def smallest(schema: Mapping[str, Any], constants: Mapping[str, Any] | None = None) -> Any:
    """Return a document with every property that may be there, and as little in it as the schema allows.

    It understands `const`, `enum`, `anyOf` and `oneOf` (it takes the first branch), `$ref` into `$defs`, types,
    lengths and ranges.

    Args:
        schema: The schema.
        constants: Top-level properties whose value is known.

    Raises:
        SchemaError: The schema asks for something else, like a pattern.
    """
    document = _smallest(schema, schema)
    if constants and isinstance(document, dict):
        document.update({name: value for name, value in constants.items() if name in document})
    return document


def _smallest(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        return _smallest(root["$defs"][name], root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for branches in ("anyOf", "oneOf"):
        if branches in schema:
            return _smallest(schema[branches][0], root)
    if "pattern" in schema:
        raise SchemaError(f"no smallest text is known for the pattern `{schema['pattern']}`")
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _smallest(part, root) for name, part in properties.items() if part is not False}
    if kind == "array":
        return [_smallest(schema.get("items", {}), root) for _ in range(schema.get("minItems", 0))]
    if kind == "string":
        return "x" * schema.get("minLength", 0)
    if kind in ("integer", "number"):
        return _number(schema)
    if kind in _PLAIN:
        return _PLAIN[kind]
    raise SchemaError(f"no smallest value is known for the type `{kind}`")


def _number(schema: Mapping[str, Any]) -> int | float:
    """Return the number nearest to zero in the range."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and low > 0:
        return low  # type: ignore[no-any-return]
    return high if high is not None and high < 0 else 0
