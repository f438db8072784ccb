"""Put right in a finished document what a grammar could not hold: items that are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MOST_ROUNDS = 16
"""How often a document is put right and judged again: an array within an array may show only then."""


def repaired(value: Any, validator: Validator) -> Any:
    """Return a document less the repeated items that its schema wants to be unique.

    The first of equal items stays. What else is wrong, or would be by dropping an item, is left as it is.

    Args:
        value: The document; it is not changed.
        validator: Of its schema.
    """
    for _ in range(MOST_ROUNDS):
        doubled = {tuple(error.absolute_path): error for error in _doubled(validator.iter_errors(value))}
        changed = False
        value = orjson.loads(orjson.dumps(value)) if doubled else value
        for path, error in sorted(doubled.items(), key=lambda item: -len(item[0])):
            items = _at(value, path)
            first: dict[bytes, Any] = {}
            for item in items:
                first.setdefault(_canonical(item), item)
            once = list(first.values())
            if len(once) < len(items) and len(once) >= error.schema.get("minItems", 0):
                items[:] = once
                changed = True
        if not changed:
            break
    return value


def _doubled(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    """Yield the errors of `uniqueItems`, those within alternatives included."""
    for error in errors:
        if error.validator == "uniqueItems":
            yield error
        yield from _doubled(iter(error.context or ()))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _canonical(item: Any) -> bytes:
    """Return what equal items have in common: numbers are equal by value, objects whatever their order."""
    return orjson.dumps(_plain(item), option=orjson.OPT_SORT_KEYS)


def _plain(item: Any) -> Any:
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, list):
        return [_plain(part) for part in item]
    if isinstance(item, dict):
        return {name: _plain(part) for name, part in item.items()}
    return item
