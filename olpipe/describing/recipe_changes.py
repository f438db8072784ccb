"""What `--set KEY=VALUE` changes in a recipe for one run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from olpipe.errors import UsageError

Path = tuple[str, ...]

STAGES = "stages"
"""A list whose tables have names. A key leads through the name: `stages.facts.prompt`."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key of a recipe with another value.

    Attributes:
        path: The key, from the top of the file.
        value: Its value, as TOML has it.
        given: What the user wrote.
    """

    path: Path
    value: Any
    given: str

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read `KEY=VALUE`. A key may have points in it. A value that is not TOML is a text.

        Raises:
            UsageError: There is no key, or no `=`.
        """
        key, equals, value = given.partition("=")
        try:
            path = _path(key)
        except tomllib.TOMLDecodeError:
            path = ()
        if not equals or not path:
            hint = "write it like `--set options.temperature=0.2` or `--set model=qwen3-vl:2b`"
            raise UsageError(f"`--set {given}` is not KEY=VALUE", hint=hint)
        return cls(path, _value(value), given)

    def __str__(self) -> str:
        return self.given


def changed(table: Mapping[str, Any], changes: Sequence[Change], known: Mapping[str, type]) -> dict[str, Any]:
    """Return a recipe's table with changes in it. The last one of a key counts. Nothing in `table` changes.

    Args:
        table: The table.
        changes: The changes, in order.
        known: The types of the keys at the top. Where a text is expected, a number or a date that was given is a text.

    Raises:
        UsageError: A key leads through a value that is no table, or there is no stage of that name.
    """
    result = dict(table)
    for change in changes:
        path = place_of(change, result)
        inner: Any = result
        for depth, step in enumerate(path[:-1], start=1):
            below = inner[step] if isinstance(step, int) else inner.get(step, {})
            if not isinstance(below, (dict, list)) or (isinstance(below, list) and not isinstance(path[depth], int)):
                reached = ".".join(change.path[:depth])
                raise UsageError(f"`--set {change}`: `{reached}` is not a table", hint=f"set `{reached}` as a whole")
            inner[step] = below.copy()
            inner = inner[step]
        is_text = len(path) == 1 and known.get(change.path[0]) is str
        inner[path[-1]] = change.given.partition("=")[2] if is_text and not _is_text(change) else change.value
    return result


def place_of(change: Change, table: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return where a change is: its path, in which the name of a stage is the stage's place in the list.

    Raises:
        UsageError: There are no stages, or none of that name.
    """
    if change.path[0] != STAGES or len(change.path) == 1:
        return change.path
    stages = table.get(STAGES)
    if not isinstance(stages, list):
        raise UsageError(f"`--set {change}`: the recipe has no stages", hint="set a key of the recipe itself")
    names = [stage.get("name") if isinstance(stage, dict) else None for stage in stages]
    if change.path[1] not in names:
        known = ", ".join(f"`{name}`" for name in names)
        raise UsageError(f"`--set {change}`: there is no stage `{change.path[1]}`", hint=f"known: {known}")
    return (STAGES, names.index(change.path[1]), *change.path[2:])


def _is_text(change: Change) -> bool:
    return isinstance(change.value, str)


def _path(key: str) -> Path:
    """Return the names of a key with points, such as `schema.properties."a.b".maxLength`."""
    value: Any = tomllib.loads(f"{key.strip()} = 0")
    names: list[str] = []
    while isinstance(value, dict):
        if len(value) != 1:
            return ()
        ((name, value),) = value.items()
        names.append(name)
    return tuple(names)


def _value(text: str) -> Any:
    """Return a value as TOML has it; the text itself where it is not TOML."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text
