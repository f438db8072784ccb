"""Values that people corrected within the answer to a recipe's own schema: where they lie, and how they are put there.

A corrected value is named by the place where it lies, as a JSON Pointer from the record: `/data/seller/city`. Places
lead through objects only. A list is corrected as a whole, because a later run may write its items in another order.
What stands at the place is an edit: a list with the value, or an empty one where the key is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from olpipe.guidance.faults import Fault, faults

ROOT = "/data"
"""The place of the whole answer."""

Edit = Sequence[Any]
"""A list with one value, or an empty one for a key that is left out."""


def is_place(field: str) -> bool:
    """Say whether the name of a field is a place within the answer."""
    return field == ROOT or field.startswith(f"{ROOT}/")


def place_of(path: Sequence[str]) -> str:
    """Return the place of what lies below these keys."""
    return ROOT + "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def path_of(place: str) -> tuple[str, ...]:
    """Return the keys that lead to a place from the whole answer."""
    keys = place.removeprefix(ROOT).split("/")[1:]
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in keys)


def standing(data: Any, place: str) -> list[Any]:
    """Return what stands at a place, as an edit."""
    for key in path_of(place):
        if not isinstance(data, dict) or key not in data:
            return []
        data = data[key]
    return [data]


def edited(data: Any, edits: Mapping[str, Edit]) -> Any:
    """Return an answer with edits in it, and leave the answer itself as it is.

    Objects that an edit needs and that are missing are made. An edit is left out where something else than an object
    stands on the way to its place.
    """
    for place in sorted(edits):
        data = _put(data, path_of(place), edits[place])
    return data


def _put(data: Any, path: Sequence[str], edit: Edit) -> Any:
    if not path:
        return edit[0] if edit else data
    if not isinstance(data, dict):
        return data
    key, rest = path[0], path[1:]
    if not edit and key not in data:
        return data
    if not rest and not edit:
        return {name: value for name, value in data.items() if name != key}
    return {**data, key: _put(data.get(key, {}) if rest else None, rest, edit)}


def new_faults(source: str | None, before: Any, after: Any) -> list[Fault]:
    """Return what a schema refuses in an answer and has not refused in the one before.

    A model's answer may be refused itself: it was cut, or copied without boxes. People may correct the rest of it.

    Args:
        source: The schema's JSON text; None where it is not known, and refuses nothing.
        before: The answer as it was.
        after: The answer with edits in it.
    """
    found = [] if source is None else faults(source, after)
    known = {*faults(source, before)} if found and source is not None else set()
    return [fault for fault in found if fault not in known]


def fitting(source: str | None, data: Any, edits: Mapping[str, Edit]) -> dict[str, Edit]:
    """Return the edits that change an answer and that fit it: they have a place there, and the schema allows them.

    Args:
        source: The schema's JSON text, or None.
        data: The answer as the model wrote it.
        edits: All edits that people made, under whatever recipe.
    """
    wanted = {place: edit for place, edit in edits.items() if _changes(data, place, edit)}
    if not new_faults(source, data, edited(data, wanted)):
        return wanted
    kept: dict[str, Edit] = {}
    for place in sorted(wanted):
        more = {**kept, place: wanted[place]}
        if not new_faults(source, data, edited(data, more)):
            kept = more
    return kept


def _changes(data: Any, place: str, edit: Edit) -> bool:
    return not same(edit, standing(data, place)) and same(edit, standing(edited(data, {place: edit}), place))


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same in JSON. To Python, `true` would equal 1."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
