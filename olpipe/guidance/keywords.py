"""Tell words in a schema that are nearly a keyword of JSON Schema, and schemas that say nothing in its keywords.

JSON Schema takes every word that it does not know for an annotation. So a misspelt keyword would change nothing, and
nobody would be told.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance.dialect import MAPS_OF_SCHEMAS, SCHEMAS, parts
from olpipe.guidance.evidence import ANNOTATION

_OTHERS = frozenset(
    (
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$recursiveAnchor",
        "$recursiveRef",
        "$ref",
        "$schema",
        "$vocabulary",
        "const",
        "contentEncoding",
        "contentMediaType",
        "default",
        "dependentRequired",
        "deprecated",
        "description",
        "enum",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "id",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "readOnly",
        "required",
        "title",
        "type",
        "uniqueItems",
        "writeOnly",
    )
)

KEYWORDS = SCHEMAS | _OTHERS | MAPS_OF_SCHEMAS
"""The keywords of all drafts from 4 on."""

_KNOWN_ANNOTATIONS = frozenset(
    (
        "comment",
        "comments",
        "discriminator",
        "enumNames",
        "example",
        "externalDocs",
        "note",
        "notes",
        "nullable",
        "optional",
        "propertyOrdering",
        "units",
        "xml",
    )
)
"""Words that other programs write into schemas. They mean what they say, however like a keyword they look."""

_LEAST_LIKENESS = 0.75
"""How much a word must be like a keyword to count as misspelt: `tpye` is `type`, and `name` is not `enum`."""


def check_wrapper(schema: Mapping[str, Any]) -> None:
    """Refuse an object that has the schema in it, as requests to services have.

    Raises:
        SchemaError: It is one. The hint says where the schema is.
    """
    steps: list[str] = []
    inner: Any = schema
    while isinstance(inner, Mapping) and not {"properties", "$ref", "anyOf", "allOf", "oneOf"} & inner.keys():
        step = next((word for word in ("json_schema", "schema") if isinstance(inner.get(word), Mapping)), None)
        if step is None:
            break
        steps.append(step)
        inner = inner[step]
    if steps:
        path = ".".join(("$", *steps))
        raise SchemaError("the JSON is not a schema, but has one in it", hint=f"give only what stands at `{path}`")


def check_keywords(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that says nothing in keywords, or that has a word in it which is nearly a keyword.

    Raises:
        SchemaError: It is such a schema. The message names the word and its place.
    """
    unknown = [word for word in schema if not _is_known(word)]
    if schema and len(unknown) == len(schema) and not any(_like(word) for word in unknown):
        words = ", ".join(f"`{word}`" for word in unknown[:5])
        raise SchemaError(
            f"the schema has no keyword of JSON Schema in it, only {words}{', …' if len(unknown) > 5 else ''}",
            hint='describe the answer: `{"type": "object", "properties": {"…": {"type": "string"}}}`',
        )
    for error in misspelt(schema):
        raise error


def misspelt(schema: Mapping[str, Any]) -> Iterator[SchemaError]:
    """Yield an error for each word in a schema that is nearly a keyword. The message names the word and its place."""
    for path, part in parts("$", schema):
        for word, value in part.items():
            error = _misspelt(path, part, word, value)
            if error is not None:
                yield error


def optional_properties(schema: Mapping[str, Any]) -> list[str]:
    """Return the properties that a schema describes, but does not require, in its order.

    A property of an object within the document gets its path, such as `box.width`. What stands behind references and
    within combined schemas is left out, and so is what evidence fills.
    """
    found: list[str] = []
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        path, part = waiting.pop(0)
        if not isinstance(part, Mapping):
            continue
        for name, child in part.get("properties", {}).items():
            filled = isinstance(child, Mapping) and ANNOTATION in child
            if name not in part.get("required", ()) and child is not False and not filled:
                found.append(f"{path}{name}")
            waiting.append((f"{path}{name}.", child))
        waiting.append((path, part.get("items")))
    return found


def _misspelt(path: str, part: Mapping[str, Any], word: str, value: Any) -> SchemaError | None:
    if _is_known(word):
        return None
    message = f"`{word}` at `{path}` is not a keyword of JSON Schema"
    like = _like(word)
    if like:
        return SchemaError(message, hint=f"did you mean `{like}`? Words of your own begin with `x-`")
    if part.get("type") == "object" and isinstance(value, Mapping) and {"type", "enum", "$ref"} & value.keys():
        return SchemaError(message, hint=f"put it under `{path}.properties`")
    return None


def _is_known(word: str) -> bool:
    return word in KEYWORDS or word in _KNOWN_ANNOTATIONS or word.startswith(("x-", "x_"))


def _like(word: str) -> str:
    """Return the keyword that a word is most like; empty where it is like none."""
    keywords = {keyword.lower(): keyword for keyword in KEYWORDS}
    close = difflib.get_close_matches(word.lower(), keywords, n=1, cutoff=_LEAST_LIKENESS)
    return keywords[close[0]] if close else ""
