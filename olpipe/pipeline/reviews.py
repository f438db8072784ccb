"""What people said about records: corrections, approvals and rejections. The ledger keeps them for ever.

They belong to the bytes of a photo, and to nothing that a run can change. So they stay when the recipe, the model or
the photo's name changes, when a photo is described again, and for every equal copy. A correction belongs to one field,
and replaces what the model wrote there. All other fields show what the last run wrote.

A correction waits where it does not fit: the recipe has no such field, or the field holds another type of value. It
comes back with the first recipe that has the field again. A correction within the answer to a recipe's own schema waits
where that schema would refuse it, too. An approval holds for the values that the person saw. Where
a run writes other ones, the photo counts as not reviewed until somebody looks again. A rejection holds until it is
undone.

The targets hold rows with the corrected values. So each change makes the targets start over that hold the photo's row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Cursor
from typing import Any

import orjson

from olpipe.pipeline.data_edits import edited, fitting, is_place, standing
from olpipe.record import RESERVED, TAG_SCORES, TEXT, Review
from olpipe.record_columns import properties_of

TEXTS = ("title", "description", "alt")
TAGS, OBJECTS = "tags", "objects"
FIELDS = (*TEXTS, TAGS, OBJECTS)
"""What people can correct, beside the values within `data`."""

# Older versions of olpipe take no notice of these tables. `seen` is the digest of the values that were approved. It is
# empty for a rejection. `same_photos` leads from the bytes of a photo that a sink has changed to those it had before.
_TABLES = (
    "CREATE TABLE IF NOT EXISTS corrections(sha256 TEXT NOT NULL, field TEXT NOT NULL, json BLOB NOT NULL,"
    " PRIMARY KEY(sha256, field)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS verdicts(sha256 TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY(sha256, seen))"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS same_photos(sha256 TEXT PRIMARY KEY, origin TEXT NOT NULL) WITHOUT ROWID",
)
_START_OVER = """
CREATE TRIGGER IF NOT EXISTS {table}_{event} AFTER {event} ON {table} BEGIN
  UPDATE targets SET seq = 0 WHERE seq > 0 AND kind = 'record' AND EXISTS (
    SELECT 1 FROM (SELECT {row}.sha256 AS digest UNION ALL SELECT sha256 FROM same_photos WHERE origin = {row}.sha256)
    JOIN outcomes ON outcomes.recipe_key = targets.recipe_key
      AND outcomes.sha256 >= digest AND outcomes.sha256 < digest || '!'
    JOIN rows ON rows.outcome = outcomes.id
    WHERE rows.kind = targets.kind AND rows.seq <= targets.seq);
END
"""
_REJECTED = ""


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """How many records people have reviewed.

    Attributes:
        records: All records of the recipe.
        approved: Those that were approved as the model wrote them.
        edited: Those in which a person has corrected something.
        rejected: Those that nobody is to use.
    """

    records: int = 0
    approved: int = 0
    edited: int = 0
    rejected: int = 0

    @property
    def reviewed(self) -> int:
        """All that somebody has looked at."""
        return self.approved + self.edited + self.rejected

    @property
    def approved_share(self) -> float | None:
        """The share of the reviewed records that were approved as the model wrote them; None where there are none."""
        return round(self.approved / self.reviewed, 4) if self.reviewed else None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A record as people left it.

    Attributes:
        row: The record's JSON with the corrections and the key `review`.
        state: What people did with it; None where nobody has reviewed it.
        written: What the model wrote in the fields that were corrected; None in one that it left out. A place within
            `data` has a list with the value, or an empty one.
    """

    row: dict[str, Any]
    state: Review | None
    written: Mapping[str, Any]


class Reviews:
    """The reviews in one ledger."""

    def __init__(self, run: Callable[[str, Sequence[Any]], Cursor]) -> None:
        """Make an object for a ledger that is open.

        Args:
            run: Runs one SQL statement with its values.
        """
        self._run = run
        self._known: set[str] | None = None  # photos that somebody has reviewed, or more than these
        self._origins: dict[str, str] = {}
        self._schemas: dict[str, str] = {}

    @classmethod
    def there(cls, run: Callable[[str, Sequence[Any]], Cursor]) -> Reviews | None:
        """Return the reviews of a ledger that is only read; None where it has no tables for them."""
        tables = ("corrections", "verdicts", "same_photos")
        found = run("SELECT count(*) FROM sqlite_master WHERE name IN (?, ?, ?)", tables).fetchone()
        return cls(run) if found == (len(tables),) else None

    def prepare(self) -> None:
        """Make the tables where they are missing."""
        for statement in _TABLES:
            self._run(statement, ())
        for table in ("corrections", "verdicts"):
            for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                self._run(_START_OVER.format(table=table, event=event, row=row), ())

    # --- what people do ---------------------------------------------------------------------------

    def correct(self, sha256: str, field: str, value: Any) -> None:
        """Put a person's value in place of the model's, under every recipe that has such a field.

        Args:
            sha256: The digest of the photo's bytes.
            field: The name of the field, or a place within `data`.
            value: The value; for a place within `data`, an `Edit`.
        """
        origin = self._noted(sha256)
        self._run("REPLACE INTO corrections VALUES (?, ?, ?)", (origin, field, orjson.dumps(value)))

    def restore(self, sha256: str, field: str) -> None:
        """Go back to what the model wrote in a field."""
        self._run("DELETE FROM corrections WHERE sha256 = ? AND field = ?", (self._noted(sha256), field))

    def approve(self, sha256: str, row: Mapping[str, Any]) -> None:
        """Note that a person found the values of a record right."""
        origin = self._noted(sha256)
        self._run("DELETE FROM verdicts WHERE sha256 = ? AND seen = ?", (origin, _REJECTED))
        self._run("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", (origin, _seen(row)))

    def reject(self, sha256: str) -> None:
        """Note that nobody is to use a photo's record, whatever a model writes."""
        self._run("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", (self._noted(sha256), _REJECTED))

    def withdraw(self, sha256: str, row: Mapping[str, Any]) -> None:
        """Take back the rejection of a photo, and the approval of the values of a record."""
        self._run(
            "DELETE FROM verdicts WHERE sha256 = ? AND seen IN (?, ?)", (self._noted(sha256), _REJECTED, _seen(row))
        )

    def follow(self, before: str | None, after: str) -> None:
        """Note that a sink has changed the bytes of a photo, so that its reviews are found by the new ones, too."""
        if before is None or before == after:
            return
        origin = self._origin(before)
        if origin != after:
            self._run("REPLACE INTO same_photos VALUES (?, ?)", (after, origin))
            self._origins[after] = origin

    # --- what became of records -------------------------------------------------------------------

    def of(self, row: Mapping[str, Any], recipe_key: str) -> Reviewed:
        """Return a record as people left it.

        Args:
            row: The record's JSON as the model and the task made it.
            recipe_key: The recipe that it was made by.
        """
        if not self.concerns(row["sha256"]):
            return Reviewed(dict(row), None, {})
        origin = self._origin(row["sha256"])
        found = self._run("SELECT field, json FROM corrections WHERE sha256 = ?", (origin,)).fetchall()
        wanted = {field: orjson.loads(text) for field, text in found}
        values = {field: value for field, value in wanted.items() if self.fits(field, value, row, recipe_key)}
        values = {field: value for field, value in values.items() if row.get(field) != value}
        written = {field: row.get(field) for field in values}
        edits = {place: edit for place, edit in wanted.items() if is_place(place)}
        if edits and "data" in row:
            edits = dict(fitting(self.source(recipe_key), row["data"], edits))
            values = {"data": edited(row["data"], edits)} if edits else {}
            written = {place: standing(row["data"], place) for place in edits}
        seen = {seen for (seen,) in self._run("SELECT seen FROM verdicts WHERE sha256 = ?", (origin,))}
        state = None
        if _REJECTED in seen:
            state = Review.REJECTED
        elif values:
            state = Review.EDITED
        elif seen and _seen(row) in seen:
            state = Review.APPROVED
        return Reviewed(_corrected(row, values, state), state, written)

    def concerns(self, sha256: str) -> bool:
        """Say whether people may have said something about a photo."""
        return self._origin(sha256) in self._all()

    def is_rejected(self, identity: str | None) -> bool:
        """Say whether the photo was rejected that an outcome belongs to."""
        origin = self._origin((identity or "").partition(" ")[0])
        if origin not in self._all():
            return False
        return (
            self._run("SELECT 1 FROM verdicts WHERE sha256 = ? AND seen = ?", (origin, _REJECTED)).fetchone()
            is not None
        )

    def fits(self, field: str, value: Any, row: Mapping[str, Any], recipe_key: str) -> bool:
        """Say whether a record can have a value in a field. Where the model left a field out, the schema decides."""
        if is_place(field):
            return False
        if field in row:
            return type(row[field]) is type(value)
        return "data" not in row and self.has_field(field, recipe_key)

    def has_field(self, field: str, recipe_key: str) -> bool:
        """Say whether the records of a recipe can have a field, as its schema says."""
        source = self.source(recipe_key)
        declared = properties_of(orjson.loads(source)).get(field) if source else None
        kind = "array" if field in (TAGS, OBJECTS) else "string"
        return declared is not None and declared.get("type") in (None, kind)

    def source(self, recipe_key: str) -> str | None:
        """Return the JSON text of a recipe's schema, as the ledger remembers it; None if it does not."""
        if recipe_key not in self._schemas:
            if self._run("SELECT 1 FROM sqlite_master WHERE name = 'runs'", ()).fetchone() is None:
                return None
            found = self._run("SELECT schema FROM runs WHERE recipe_key = ?", (recipe_key,)).fetchone()
            if found is None:
                return None
            self._schemas[recipe_key] = bytes(found[0]).decode()
        return self._schemas[recipe_key]

    def count(self, recipe_key: str) -> ReviewCounts:
        """Count the reviews of a recipe's records."""
        joined = "FROM rows JOIN outcomes ON outcomes.id = outcome WHERE rows.recipe_key = ? AND rows.kind = 'record'"
        (records,) = self._run(f"SELECT count(*) {joined}", (recipe_key,)).fetchone()
        numbers = dict.fromkeys(Review, 0)
        known = self._all()
        for sha256, number in self._run(f"SELECT sha256, seq {joined}", (recipe_key,)) if known else ():
            if self._origin(sha256.partition(" ")[0]) in known:
                text = self._run(f"SELECT json {joined} AND seq = ?", (recipe_key, number)).fetchone()[0]
                state = self.of(orjson.loads(text), recipe_key).state
                if state is not None:
                    numbers[state] += 1
        return ReviewCounts(records, *(numbers[state] for state in (Review.APPROVED, Review.EDITED, Review.REJECTED)))

    def digest(self) -> bytes:
        """Return a digest of all reviews."""
        hashed = hashlib.sha256()
        for query in ("SELECT * FROM corrections", "SELECT * FROM verdicts", "SELECT * FROM same_photos"):
            for row in self._run(f"{query} ORDER BY 1, 2", ()):
                hashed.update(repr(row).encode())
        return hashed.digest()

    # --- what is known ----------------------------------------------------------------------------

    def _all(self) -> set[str]:
        """Return the photos with a review. The ledger has one writer, so what was read once stays true."""
        if self._known is None:
            found = self._run("SELECT sha256 FROM corrections UNION SELECT sha256 FROM verdicts", ())
            self._known = {sha256 for (sha256,) in found}
            self._origins = dict(self._run("SELECT sha256, origin FROM same_photos", ()).fetchall())
        return self._known

    def _origin(self, sha256: str) -> str:
        self._all()
        return self._origins.get(sha256, sha256)

    def _noted(self, sha256: str) -> str:
        """Return the digest that a photo's reviews belong to, and remember that there are some."""
        origin = self._origin(sha256)
        self._all().add(origin)
        return origin


def _seen(row: Mapping[str, Any]) -> str:
    """Return a digest of the values that a person sees in a record. Scores are not among them."""
    shown = {key: value for key, value in row.items() if key not in RESERVED and key != TAG_SCORES}
    if isinstance(objects := shown.get("objects"), list):
        shown["objects"] = [_without_score(thing) if isinstance(thing, dict) else thing for thing in objects]
    return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _without_score(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in thing.items() if key != "score"}


def _corrected(row: Mapping[str, Any], values: Mapping[str, Any], state: Review | None) -> dict[str, Any]:
    """Return a record with a person's values in it. What the model left out stands behind its other values."""
    added = {field: value for field, value in values.items() if field not in row}
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in (TEXT, "certainty", "box_unit"):
            found.update(added)
            added = {}
        if key == "box_unit" and state is not None:
            found["review"] = state.value
        found[key] = values.get(key, value)
    found.update(added)
    if state is not None:
        found.setdefault("review", state.value)
    scores = row.get(TAG_SCORES)
    if TAGS in values and isinstance(scores, list) and isinstance(row.get(TAGS), list):
        known = dict(zip(row[TAGS], scores, strict=False))
        found[TAG_SCORES] = [known.get(tag) for tag in values[TAGS]]
    return found
