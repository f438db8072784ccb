"""Remove repeated items from a finished document. A grammar cannot always keep items different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MOST_ROUNDS = 16
"""How often a document is judged again. Repeated items within an item may be found only in a later round."""


def repaired(value: Any, validator: Validator) -> Any:
    """Return a document without the repeated items that `uniqueItems` forbids.

    The first of equal items stays. An array that would then have fewer items than `minItems` is left as it is, and so
    is everything else that is wrong.

    Args:
        value: The document. It is not changed.
        validator: The validator of its schema.
    """
    for _ in range(MOST_ROUNDS):
        # 1. The arrays with repeated items, by their paths.
        doubled = {tuple(error.absolute_path): error for error in _doubled(validator.iter_errors(value))}
        changed = False
        value = orjson.loads(orjson.dumps(value)) if doubled else value
        # 2. Each of them, the innermost first: items may become equal when their own items are removed.
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
    """Yield the errors of `uniqueItems`, those within the options of `anyOf` and `oneOf` included."""
    for error in errors:
        if error.validator == "uniqueItems":
            yield error
        yield from _doubled(iter(error.context or ()))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the part of a document at a path of names and indices."""
    for step in path:
        value = value[step]
    return value


def _canonical(item: Any) -> bytes:
    """Return a form that is the same for equal items: 1 equals 1.0, and the order of properties does not count."""
    return orjson.dumps(_plain(item), option=orjson.OPT_SORT_KEYS)


def _plain(item: Any) -> Any:
    """Return an item with every whole number as an integer."""
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, list):
        return [_plain(part) for part in item]
    if isinstance(item, dict):
        return {name: _plain(part) for name, part in item.items()}
    return item
