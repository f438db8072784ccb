"""The schema in a recipe: as JSON has it, and every mistake in it with its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from olpipe.errors import RecipeError, SchemaError
from olpipe.guidance.dialect import validator_class
from olpipe.guidance.evidence import wrong_marks
from olpipe.guidance.keywords import check_wrapper, misspelt
from olpipe.guidance.schema import check_schema, read_schema

Path = tuple[str | int, ...]

_PLACE = re.compile(r"`(\$(?:[.\[][^`]*)?)`")
LONGEST_MESSAGE = 300


def schema_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of TOML as a JSON Schema, checked.

    Raises:
        SchemaError: It is not valid, or cannot be enforced.
    """
    return check_schema(json.dumps(table))


def schema_mistakes(table: Mapping[str, Any]) -> Iterator[tuple[Path, RecipeError | SchemaError]]:
    """Yield everything in a schema that cannot be used, each with its path below the schema.

    What builds on something wrong is not looked at: a schema that is not valid is not compiled.
    """
    found = False
    for path, value in _not_json(table, ()):
        found = True
        yield path, RecipeError(f"`schema` holds `{value}`, which JSON cannot hold")
    if found:
        return
    for error in _errors(table):
        yield _path(error, table), error


def _errors(table: Mapping[str, Any]) -> Iterator[SchemaError]:
    """Yield the errors of the first step that has some: the rules of the draft, then keywords, marks, the grammar."""
    source = json.dumps(table)
    try:
        check_schema(source)
        return
    except SchemaError as error:
        first = error
    try:
        schema = read_schema(source)
        check_wrapper(schema)
        rules = validator_class(schema)
    except SchemaError as error:
        yield error
        return
    invalid = list(rules(rules.META_SCHEMA).iter_errors(schema))
    errors = [_invalid(error.json_path, error.message) for error in invalid] or [
        *misspelt(schema),
        *wrong_marks(schema),
    ]
    # The grammar tells one mistake at a time
    if first.message not in {error.message for error in errors}:
        yield first
    yield from errors


def _invalid(path: str, message: str) -> SchemaError:
    message = message if len(message) < LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…"
    return SchemaError(f"the schema is not valid at `{path}`: {message}")


def _not_json(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the values that JSON cannot hold: dates, times, and numbers that are none."""
    if isinstance(value, dict):
        for key, within in value.items():
            yield from _not_json(within, (*path, key))
    elif isinstance(value, list):
        for index, within in enumerate(value):
            yield from _not_json(within, (*path, index))
    elif not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        yield path, value


def _path(error: SchemaError, schema: Mapping[str, Any]) -> Path:
    """Return where a message says that the mistake is, as far as the schema has such a place."""
    place = _PLACE.search(error.message)
    word = re.match(r"`([^`$]+)` at `\$", error.message)
    path = _steps(place[1][1:], schema) if place else ()
    return (*path, word[1]) if word and _has(schema, (*path, word[1])) else path


def _steps(left: str, value: Any) -> Path:
    """Walk along a path like `.properties.tags.maxItems`. A name may have dots in it, so the longest one is taken."""
    if not left:
        return ()
    names = [*value] if isinstance(value, dict) else [*range(len(value))] if isinstance(value, list) else []
    for name in sorted(names, key=lambda name: len(str(name)), reverse=True):
        for form in (f".{name}", f"[{name}]", f"['{name}']"):
            rest = left.removeprefix(form)
            if rest != left and (not rest or rest[0] in ".["):
                return (name, *_steps(rest, value[name]))
    return ()


def _has(value: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(value, (dict, list)) or (isinstance(value, dict) and step not in value):
            return False
        value = value[step]  # type: ignore[index]
    return True
