"""Turn the parameters of tools into wire schemas of their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from olpipe.errors import SchemaError
from olpipe.generation import Tool
from olpipe.guidance.keywords import check_keywords
from olpipe.guidance.schema import valid_schema
from olpipe.guidance.wire import wire_schema

NO_PARAMETERS = frozenset({"", "{}"})
"""What the parameters of a tool that takes no arguments may be, besides a schema."""

_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@lru_cache(maxsize=256)
def arguments_schema(tool: Tool) -> Mapping[str, Any]:
    """Return the wire schema of the arguments that a tool takes. They are always an object.

    Raises:
        SchemaError: The tool's parameters are not a valid schema, it cannot be enforced, or it allows no object. The
            message names the tool, and the place in its schema.
    """
    if tool.parameters.strip() in NO_PARAMETERS:
        return _NOTHING
    try:
        schema = valid_schema(tool.parameters)
        check_keywords(schema)
        wire = wire_schema(schema)
    except SchemaError as error:
        raise SchemaError(f"the parameters of the tool `{tool.name}`: {error.message}", hint=error.hint) from error
    objects = [one for one in wire.get("anyOf", [wire]) if one.get("type") == "object"]
    if not objects:
        raise SchemaError(
            f"the parameters of the tool `{tool.name}` allow no object", hint="give them the type `object`"
        )
    shared = {"$defs": wire["$defs"]} if "$defs" in wire else {}
    return (objects[0] if len(objects) == 1 else {"anyOf": objects}) | shared


def calls_schema(arguments: Mapping[str, Mapping[str, Any]], *, name_key: str, arguments_key: str) -> dict[str, Any]:
    """Return the wire schema of one call as a JSON object: the name of a tool, and arguments that this tool takes.

    Args:
        arguments: The wire schema of the arguments of each tool, by its name.
        name_key: The key of the name.
        arguments_key: The key of the arguments.
    """
    calls: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for number, (name, schema) in enumerate(arguments.items()):
        # Each tool's definitions get names of their own.
        prefix = f"t{number}"
        own = {key: _renamed(one, prefix) for key, one in schema.get("$defs", {}).items()}
        shared |= {f"{prefix}{key}": one for key, one in own.items()}
        takes = _renamed({key: value for key, value in schema.items() if key != "$defs"}, prefix)
        calls.append(
            {
                "type": "object",
                "properties": {name_key: {"const": name}, arguments_key: takes},
                "required": [name_key, arguments_key],
                "additionalProperties": False,
            }
        )
    return {"anyOf": calls} | ({"$defs": shared} if shared else {})


def _renamed(part: Any, prefix: str) -> Any:
    """Return a part of a wire schema with a prefix before the names of the definitions that it refers to."""
    if isinstance(part, list):
        return [_renamed(item, prefix) for item in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        return {"$ref": reference.replace("#/$defs/", f"#/$defs/{prefix}")}
    renamed: dict[str, Any] = {}
    for key, value in part.items():
        if key in ("properties", "patternProperties"):
            renamed[key] = {name: _renamed(child, prefix) for name, child in value.items()}
        else:
            renamed[key] = value if key in ("enum", "const") else _renamed(value, prefix)
    return renamed
