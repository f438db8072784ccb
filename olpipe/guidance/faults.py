"""Say in plain words what a schema refuses in a document, and where: for people who correct documents by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from olpipe.guidance.validate import validator_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST_OPTIONS, LONGEST_SHOWN = 12, 60
"""Most values of an `enum`, and most characters of a value, that a reason names."""

TYPES: Mapping[str, str] = {
    "string": "a text", "number": "a number", "integer": "a whole number", "boolean": "yes or no", "null": "null",
    "array": "a list", "object": "an object with keys",
}  # fmt: skip
"""What people call the types of JSON Schema."""

Path = tuple[str | int, ...]
"""Where something lies in a document: keys of objects and places in lists, from the outside inwards."""

_COMPARED = {
    "maximum": "is more than", "exclusiveMaximum": "is not less than", "minimum": "is less than",
    "exclusiveMinimum": "is not more than", "multipleOf": "is not a multiple of",
}  # fmt: skip
_COUNTED = {
    "maxLength": ("character", "more"), "minLength": ("character", "fewer"), "maxItems": ("item", "more"),
    "minItems": ("item", "fewer"), "maxProperties": ("key", "more"), "minProperties": ("key", "fewer"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a document that its schema refuses.

    Attributes:
        path: Where it lies.
        reason: Why it is refused, as the rest of a line that begins with its name and a colon.
    """

    path: Path
    reason: str


def faults(source: str, value: Any) -> list[Fault]:
    """Return all that a schema refuses in a document.

    Args:
        source: The schema's JSON text, as the user gave it.
        value: The document.

    Raises:
        SchemaError: The schema itself is not valid.
    """
    return [_fault(_told(error)) for error in validator_of(source).iter_errors(value)]


def _told(error: ValidationError) -> ValidationError:
    """Return the error that says most: of alternatives, the one that came nearest to what was written."""
    while error.context:
        error = max(error.context, key=lambda inner: (len(inner.absolute_path), inner.validator != "type"))
    return error


def _fault(error: ValidationError) -> Fault:
    path: Path = tuple(error.absolute_path)
    keyword, value, allowed = error.validator, error.instance, error.validator_value
    if keyword == "required":
        missing = next((name for name in allowed if error.message.startswith(repr(name))), "")
        return Fault((*path, missing) if missing else path, "it must not be left out")
    if keyword == "additionalProperties" and isinstance(value, dict):
        known = error.schema.get("properties", {})
        more = [name for name in value if name not in known]
        return Fault((*path, more[0]) if len(more) == 1 else path, "the schema has no such key")
    return Fault(path, _reason(str(keyword), value, allowed) or error.message)


def _reason(keyword: str, value: Any, allowed: Any) -> str:
    """Return why a keyword refuses a value; an empty text for keywords that need words of their own."""
    if keyword == "type":
        names = [TYPES.get(name, name) for name in ([allowed] if isinstance(allowed, str) else allowed)]
        return f"{shown(value)} is not {' or '.join(names)}"
    if keyword in _COUNTED:
        noun, much = _COUNTED[keyword]
        if len(value) == 0:
            return "it must not be empty"
        return f"it has {_plural(len(value), noun)}, {much} than {allowed}"
    if keyword in _COMPARED:
        return f"{shown(value)} {_COMPARED[keyword]} {allowed}"
    if keyword in ("enum", "const"):
        options = allowed if keyword == "enum" else [allowed]
        rest = f" and {len(options) - MOST_OPTIONS} more" if len(options) > MOST_OPTIONS else ""
        return f"{shown(value)} is none of: {', '.join(map(shown, options[:MOST_OPTIONS]))}{rest}"
    if keyword == "pattern":
        return f"{shown(value)} does not match the pattern {allowed}"
    if keyword == "format":
        return f"{shown(value)} is not of the format {allowed}"
    return "two items are the same" if keyword == "uniqueItems" else ""


def shown(value: Any) -> str:
    """Return a value as a reason names it: shortened where it is long."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return f"“{text}”" if isinstance(value, str) else text


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
