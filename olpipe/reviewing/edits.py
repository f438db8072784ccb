"""Check what people wrote into the fields of a form: by the recipe's schema, and boxes by the photo, too."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from olpipe.guidance.dialect import on_its_own
from olpipe.guidance.faults import Fault, Path
from olpipe.pipeline.data_edits import Edit, edited, is_place, new_faults, path_of, same, standing
from olpipe.pipeline.reviews import OBJECTS
from olpipe.record_columns import properties_of
from olpipe.reviewing.boxes import box_faults, scored, things_faults
from olpipe.reviewing.forms import label_of
from olpipe.server.refusal import Refusal

DEEPEST = 100
"""Most lists and objects within each other in a value."""

Edits = dict[str, Any]
"""What the ledger is told of each field: what it keeps, or None to go back to what the model wrote."""


class Unfit(Refusal):
    """Edits that do not fit.

    Attributes:
        refused: What the page is told of each field: the `reason` in one line, and `at`, where in its value.
    """

    def __init__(self, found: Mapping[str, Fault]) -> None:
        self.refused = {field: _told(field, fault) for field, fault in found.items()}
        super().__init__(422, "; ".join(one["reason"] for one in self.refused.values()))


def checked_edits(edits: Any, row: Mapping[str, Any], now: Mapping[str, Any], source: str | None) -> Edits:
    """Return edits as the ledger keeps them.

    Args:
        edits: What the page sent, as `Changes.make` has it.
        row: The record as the model and the task made it.
        now: The record as people left it.
        source: The JSON text of the recipe's schema; None where it is not known.

    Raises:
        Refusal: They are not such edits, or the record has no such field.
        Unfit: A value does not fit.
    """
    if not isinstance(edits, dict) or not all(value is None or isinstance(value, dict) for value in edits.values()):
        raise Refusal(400, "`edits` is an object with an object or null for each field")
    for field in edits:
        if not (field == OBJECTS or (is_place(field) and "data" in row)):
            raise Refusal(400, f"the record has no field `{field}`")
    wanted = {field: _kept(value) for field, value in edits.items()}
    kept, found = _data_edits({field: edit for field, edit in wanted.items() if field != OBJECTS}, row, now, source)
    if OBJECTS in wanted:
        edit = wanted[OBJECTS]
        kept[OBJECTS] = things = edit[0] if edit else None
        fault = None if things is None else _things_fault(things, row, source)
        if fault is not None:
            found[OBJECTS] = fault
        elif things is not None:
            things = scored(row.get(OBJECTS), things)
            kept[OBJECTS] = None if same(things, row.get(OBJECTS)) else things
    if found:
        raise Unfit(found)
    return kept


def printable(text: str) -> str:
    """Return a text without control characters, of which some sinks could write none."""
    letters = text.replace("\r\n", "\n")
    return "".join(letter for letter in letters if letter in "\n\t" or unicodedata.category(letter) != "Cc")


def _kept(sent: Mapping[str, Any] | None) -> Edit | None:
    """Return what was sent for a field as an edit; None goes back to what the model wrote."""
    return None if sent is None else ([_cleaned(sent["value"], 0)] if "value" in sent else [])


def _cleaned(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise Refusal(400, f"a value has more than {DEEPEST} lists and objects within each other")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(inner, depth + 1) for key, inner in value.items()}
    return value


def _data_edits(
    wanted: Mapping[str, Edit | None], row: Mapping[str, Any], now: Mapping[str, Any], source: str | None
) -> tuple[Edits, dict[str, Fault]]:
    """Return edits within `data` as the ledger keeps them, and what is wrong with them."""
    if not wanted:
        return {}, {}
    written = row["data"]
    # 1. The answer as it stands, where fields that go back have done so; and the one that is wanted.
    back = {place: standing(written, place) for place, edit in wanted.items() if edit is None}
    new = {place: edit for place, edit in wanted.items() if edit is not None}
    before = edited(now["data"], back)
    after = edited(before, new)
    # 2. What the schema refuses in it, by the field that it concerns. Where it concerns none alone, it concerns all.
    found: dict[str, Fault] = {}
    for place, edit in new.items():
        if not same(standing(after, place), edit):
            found[place] = Fault(path_of(place), "there is no place for it in this record")
    for fault in new_faults(source, before, after):
        near = [place for place in new if _touches(path_of(place), fault.path)] or list(new)
        for place in near:
            found.setdefault(place, fault)
    kept = {place: None if same(edit, standing(written, place)) else list(edit) for place, edit in new.items()}
    return {**dict.fromkeys(back), **kept}, found


def _touches(place: Path, fault: Path) -> bool:
    """Say whether a fault lies at a place, below it, or in something that has it."""
    length = min(len(place), len(fault))
    return place[:length] == fault[:length] and len(fault) >= len(place)


def _things_fault(things: Any, row: Mapping[str, Any], source: str | None) -> Fault | None:
    """Return what is wrong with a list of things; None where nothing is."""
    image = row["image"]
    found: Iterable[Fault] = list(things_faults(things))
    if not found:
        found = list(box_faults(row.get(OBJECTS), things, (image["width"], image["height"])))
    schema = orjson.loads(source) if source else {}
    declared = properties_of(schema).get(OBJECTS)
    if not found and declared:
        text = orjson.dumps(on_its_own(declared, schema)).decode()
        found = new_faults(text, _scoreless(row.get(OBJECTS)), _scoreless(things))
    return next(iter(found), None)


def _scoreless(things: Any) -> Any:
    """Return things without their scores, of which a schema says nothing."""
    if not isinstance(things, list):
        return things
    return [
        {key: value for key, value in thing.items() if key != "score"} if isinstance(thing, dict) else thing
        for thing in things
    ]


def _told(field: str, fault: Fault) -> dict[str, Any]:
    """Return what the page is told of a refusal."""
    start = () if field == OBJECTS else path_of(field)
    inside = fault.path[len(start) :] if fault.path[: len(start)] == start else ()
    name = label_of((OBJECTS, *fault.path)) if field == OBJECTS else label_of(fault.path)
    return {"reason": f"{name}: {fault.reason}", "at": list(inside)}
