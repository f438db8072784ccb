"""The drafts of JSON Schema: which draft a schema is written in, and how to rewrite older drafts as the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from olpipe.errors import SchemaError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

DEFINITIONS = ("$defs", "definitions")
"""Keywords whose schemas references lead to."""

MAPS_OF_SCHEMAS = frozenset({"properties", *DEFINITIONS, "patternProperties", "dependentSchemas", "dependencies"})
"""Keywords that hold schemas by names. The names are no keywords."""

SCHEMAS = frozenset(
    (
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "oneOf",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
"""Keywords that hold a schema, or a list of schemas."""


def on_its_own(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a schema as a schema of its own: in the same draft, with what its references lead to."""
    return {**part, **{word: schema[word] for word in ("$schema", *DEFINITIONS) if word in schema}}


_DRAFTS = {
    "http://json-schema.org/draft-04/schema": "Draft4Validator",
    "http://json-schema.org/draft-06/schema": "Draft6Validator",
    "http://json-schema.org/draft-07/schema": "Draft7Validator",
    "https://json-schema.org/draft/2019-09/schema": "Draft201909Validator",
    "https://json-schema.org/draft/2020-12/schema": "Draft202012Validator",
}
_OLD = "http://json-schema.org/draft-"
_NEWEST = "Draft202012Validator"
# In these drafts, the other keywords beside `$ref` do not count.
_REF_STANDS_ALONE = ("Draft4Validator", "Draft6Validator", "Draft7Validator")


def draft(schema: Mapping[str, Any]) -> str:
    """Return the name of jsonschema's validator for the draft that a schema names.

    A schema that names no draft, or one that nobody knows, counts as the newest draft.

    Raises:
        SchemaError: The draft is too old.
    """
    named = str(schema.get("$schema", "")).rstrip("#").replace("https://json-schema.org/draft-", _OLD)
    if named in {f"{_OLD}0{number}/schema" for number in range(4)}:
        raise SchemaError(f"the schema is written in `{named}`", hint="JSON Schema is understood from draft 4 on")
    return _DRAFTS.get(named, _NEWEST)


def validator_class(schema: Mapping[str, Any]) -> type[Validator]:
    """Return jsonschema's validator for the draft of a schema."""
    import jsonschema

    found: type[Validator] = getattr(jsonschema, draft(schema))
    return found


def modern(schema: Mapping[str, Any], named: str) -> dict[str, Any]:
    """Return a schema in the keywords of 2020-12. The schemas within it stay as they are.

    Args:
        schema: The schema.
        named: What `draft` returned for the whole document.
    """
    if "$ref" in schema and named in _REF_STANDS_ALONE:
        return {"$ref": schema["$ref"]}
    result = dict(schema)
    # 1. A list of `items` is called `prefixItems` now, and `additionalItems` are the `items` behind it.
    if named != _NEWEST and isinstance(result.get("items"), list):
        result["prefixItems"] = result.pop("items")
        if "additionalItems" in result:
            result["items"] = result["additionalItems"]
    # 2. In draft 4, `exclusiveMinimum` says yes or no about `minimum`. Now it is the bound itself.
    for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(keyword), bool):
            exclusive = result.pop(keyword)
            if exclusive and bound in result:
                result[keyword] = result.pop(bound)
    # 3. `dependencies` were parted into those on names and those on schemas.
    if named in _REF_STANDS_ALONE and isinstance(result.get("dependencies"), Mapping):
        dependencies = result.pop("dependencies")
        names = {name: part for name, part in dependencies.items() if isinstance(part, list)}
        result["dependentRequired"] = names
        result["dependentSchemas"] = {name: part for name, part in dependencies.items() if name not in names}
    return result


def parts(
    path: str, schema: Any, *, holds_schemas: Callable[[str], bool] = SCHEMAS.__contains__
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a schema and all schemas within it, each with its path.

    Args:
        path: The path of the schema.
        schema: The schema. Anything but a mapping has no parts.
        holds_schemas: Says whether a schema, or a list of schemas, is looked for under a word.
    """
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    for word, value in schema.items():
        below = f"{path}.{word}"
        if word in MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            within = [(f"{below}.{name}", part) for name, part in value.items()]
        elif not holds_schemas(word):
            within = []
        elif isinstance(value, list):
            within = [(f"{below}[{index}]", part) for index, part in enumerate(value)]
        else:
            within = [(below, value)]
        for place, part in within:
            yield from parts(place, part, holds_schemas=holds_schemas)
