"""A mistake in a recipe: where it is, what is wrong, and the checks that every table of a recipe needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olpipe.errors import RecipeError, UsageError, nearest

Path = tuple[str | int, ...]
"""Where something stands in a recipe: names of keys and places in lists, from the top of the file."""

RENAMED = {"evidence": "perceivers"}
TYPE_NAMES = {str: "a text", list: "a list", dict: "a table", float: "a number", int: "a whole number"}
TYPE_NAMES |= {bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a recipe that cannot be used.

    Attributes:
        path: The key that is wrong, or that is missing.
        error: What is wrong with it.
    """

    path: Path
    error: UsageError


def mistake(*path: str | int, message: str, hint: str | None = None) -> Mistake:
    """Return a mistake of a recipe's own."""
    return Mistake(path, RecipeError(message, hint=hint))


def wrong_keys(table: Mapping[str, Any], known: Mapping[str, type], path: Path) -> Iterator[Mistake]:
    """Yield keys that are not known and values of the wrong type.

    Args:
        table: A table.
        known: The types of its keys.
        path: Where it stands.
    """
    for key, value in table.items():
        named = written((*path, key))
        if key not in known:
            close = [RENAMED[key]] if RENAMED.get(key) in known else nearest(key, known)
            hint = offer(close) or f"known: {', '.join(known)}"
            yield mistake(*path, key, message=f"`{named}` is not known", hint=hint)
            continue
        expected = known[key]
        accepted = (float, int) if expected is float else expected
        if not isinstance(value, accepted) or isinstance(value, bool) is not (expected is bool):
            yield mistake(*path, key, message=f"`{named}` must be {TYPE_NAMES[expected]}, not `{value}`")


def not_texts(values: Any, path: Path) -> Iterator[Mistake]:
    """Yield the values of a list that are no texts."""
    for index, value in enumerate(values):
        if not isinstance(value, str):
            yield mistake(*path, index, message=f"`{written(path)}` must hold texts, not `{value}`")


def written(path: Path) -> str:
    """Return a path as people write it: `examples[0].answer`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def offer(names: list[str]) -> str | None:
    """Return a hint that offers names; None where there are none."""
    return f"did you mean {' or '.join(f'`{name}`' for name in names)}?" if names else None
