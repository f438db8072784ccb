"""Records that are copied from those of other photos: what the ledger knows of them, and when they are no longer true.

A record is copied where two photos are the same picture, or with `--near` nearly the same. The ledger keeps the digest
of what was seen of each photo that was described. A copy is an outcome of its own, whose record names the other photo.
Older versions of olpipe take no notice of these tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from olpipe.guidance.boxes import SIDES
from olpipe.image import ImageFile
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.record import COPIED_FROM, CopiedRecord, Failure, FailureKind, ImageInfo

EQUAL = -1
"""How far a picture is from itself. Distances of pictures that are nearly the same are 0 or more."""

_TABLES = (
    # Which outcome a picture has: `identity` is that of the outcome, `sha256` there
    "CREATE TABLE IF NOT EXISTS pictures(recipe_key TEXT NOT NULL, picture BLOB NOT NULL, identity TEXT NOT NULL,"
    " PRIMARY KEY(recipe_key, picture)) WITHOUT ROWID",
    # Which outcome is a copy of which, how far the pictures are apart, and under which name the record knows the first
    "CREATE TABLE IF NOT EXISTS copies(recipe_key TEXT NOT NULL, identity TEXT NOT NULL, first TEXT NOT NULL,"
    " first_name TEXT NOT NULL, distance INTEGER NOT NULL, PRIMARY KEY(recipe_key, identity)) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class First:
    """The outcome that others get a copy of.

    Attributes:
        identity: What it belongs to, as the ledger says it.
        kind: The kind of the outcome: `record`, or that of a failure.
        row: Its JSON.
        name: A photo that has it now; None where the files of all of them have changed since.
    """

    identity: str
    kind: str
    row: Mapping[str, Any]
    name: str | None


class Copies:
    """Makes copies of outcomes for one run. It is used where the ledger is, in one thread."""

    def __init__(self, ledger: Ledger) -> None:
        """Use a ledger, after its `begin`."""
        self._ledger = ledger
        make_tables(ledger)

    def pictures(self) -> Iterator[bytes]:
        """Yield the digest of each picture that has a record."""
        found = self._ledger.run(
            "SELECT picture FROM pictures JOIN outcomes ON outcomes.recipe_key = pictures.recipe_key"
            " AND outcomes.sha256 = identity WHERE pictures.recipe_key = ? AND kind = ?",
            (self._ledger.recipe_key, RECORD),
        )
        return (picture for (picture,) in found)

    def note_picture(self, picture: bytes, file: ImageFile) -> None:
        """Remember whose outcome a picture has."""
        self._ledger.run(
            "REPLACE INTO pictures VALUES (?, ?, ?)", (self._ledger.recipe_key, picture, self._identity(file))
        )

    def of_picture(self, picture: bytes) -> First | None:
        """Return the outcome of a picture; None where there is none yet."""
        identity = self._ledger.value(
            "SELECT identity FROM pictures WHERE recipe_key = ? AND picture = ?", (self._ledger.recipe_key, picture)
        )
        return None if identity is None else self.first(identity)

    def first(self, identity: str) -> First | None:
        """Return the outcome that belongs to something; None where there is none yet."""
        key = self._ledger.recipe_key
        found = self._ledger.run(
            "SELECT id, kind, json FROM outcomes WHERE recipe_key = ? AND sha256 = ?", (key, identity)
        ).fetchone()
        if found is None:
            return None
        number, kind, text = found
        name = self._ledger.value(
            "SELECT min(name) FROM rows JOIN photos USING (path) WHERE recipe_key = ? AND outcome = ?", (key, number)
        )
        return First(identity, kind, orjson.loads(text), name)

    def copy(self, first: First, file: ImageFile, image: ImageInfo, *, distance: int = EQUAL) -> CopiedRecord | Failure:
        """Return an outcome for another photo.

        The record names the first photo. Where that is the photo itself, whose file has changed, it names none. A
        record for a picture that is not quite the same has no boxes, because things are elsewhere in it.

        Args:
            first: The outcome of the first photo.
            file: The other photo.
            image: What the record says of the other photo.
            distance: How far the pictures are apart.
        """
        name, sha256 = file.ref.name, file.sha256
        if first.kind != RECORD:
            row = first.row
            return Failure(name, sha256, FailureKind(first.kind), row["message"], row.get("hint"))
        row = dict(first.row) | {"file": name, "sha256": sha256, "image": image.to_json()}
        root = row.pop(COPIED_FROM, None) or first.name
        if distance != EQUAL:
            row = without_boxes(row)
        if root is not None and root != name:
            row[COPIED_FROM] = root
            # Before the outcome: one without a record that names a photo is no copy, so a kill in between does no harm
            self._ledger.run(
                "REPLACE INTO copies VALUES (?, ?, ?, ?, ?)",
                (self._ledger.recipe_key, self._identity(file), first.identity, root, distance),
            )
        return CopiedRecord(name, sha256, row)

    def _identity(self, file: ImageFile) -> str | None:
        return self._ledger.identity(file.sha256, file.ref.path)


def make_tables(ledger: Ledger) -> None:
    """Make the tables of copies, where they are missing."""
    for table in _TABLES:
        ledger.run(table)


def drop_stale(ledger: Ledger, near: int) -> None:
    """Delete the copies among the wanted photos that are no longer true, in a survey: they are made again.

    A copy is no longer true if its first photo has changed, was renamed, or is described again. Neither is one of a
    picture that is further away than this run allows.

    Args:
        ledger: The ledger, while it has the table `found`.
        near: How far a picture may be from that of the first photo; below 0 means that it must be the same.
    """
    make_tables(ledger)
    stale = ledger.run(
        "SELECT outcomes.id FROM copies JOIN outcomes ON outcomes.recipe_key = copies.recipe_key"
        " AND outcomes.sha256 = copies.identity WHERE copies.recipe_key = ?"
        f" AND json_extract(CAST(json AS TEXT), '$.{COPIED_FROM}') IS NOT NULL"
        " AND (distance > ? OR NOT EXISTS (SELECT 1 FROM outcomes AS firsts JOIN rows ON rows.outcome = firsts.id"
        "   JOIN photos USING (path) WHERE firsts.recipe_key = copies.recipe_key AND firsts.sha256 = copies.first"
        "   AND photos.name = first_name))"
        " AND (NOT EXISTS (SELECT 1 FROM rows WHERE outcome = outcomes.id)"
        "   OR EXISTS (SELECT 1 FROM rows JOIN found USING (path) WHERE outcome = outcomes.id AND wanted))",
        (ledger.recipe_key, near),
    ).fetchall()
    ledger.run_many("DELETE FROM rows WHERE outcome = ?", stale)
    ledger.run_many("DELETE FROM outcomes WHERE id = ?", stale)


def without_boxes(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its boxes, and without what would be empty then."""
    kept = {key: value if key == "image" else _unboxed(value) for key, value in row.items()}
    return {key: value for key, value in kept.items() if value is not _NOTHING}


_NOTHING = object()


def _unboxed(value: Any) -> Any:
    """Return a value without boxes; `_NOTHING` where nothing else was in it."""
    if isinstance(value, dict):
        if all(isinstance(value.get(side), int) for side in SIDES):
            return _NOTHING
        parts = {key: _unboxed(part) for key, part in value.items()}
        kept: Any = {key: part for key, part in parts.items() if part is not _NOTHING}
    elif isinstance(value, list):
        kept = [part for part in map(_unboxed, value) if part is not _NOTHING]
    else:
        return value
    return _NOTHING if value and not kept else kept
