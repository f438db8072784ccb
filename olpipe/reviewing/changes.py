"""What a browser may change in the ledger of a batch, and what it is shown of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from olpipe.interfaces import RunInfo
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger
from olpipe.pipeline.page.entries import entries, of_record
from olpipe.pipeline.page.page import EACH_FILE
from olpipe.pipeline.page.thumbnails import NAME_DIGITS
from olpipe.pipeline.reviews import FIELDS, OBJECTS, TAGS
from olpipe.record import Review
from olpipe.reviewing.edits import Edits, checked_edits, printable
from olpipe.reviewing.forms import Form, form_of, form_of_list
from olpipe.server.refusal import Refusal

LONGEST_TEXT, LONGEST_TAG, MOST_TAGS = 20_000, 1000, 1000
"""Most characters of a text and of a tag, and most tags of a photo."""

PHOTOS_ADDRESS = "photo/"
"""Where photos are served, by the name of their thumbnail."""

_VERDICTS = (None, Review.APPROVED.value, Review.REJECTED.value)


class Changes:
    """The records of one run in a ledger, as a review shows and changes them. Used from the ledger's own thread."""

    def __init__(self, ledger: Ledger, run: RunInfo) -> None:
        """Look at the records.

        Args:
            ledger: The ledger, after its `begin`. Nobody else may change it as long as the object is used.
            run: The run whose records they are.
        """
        self._ledger = ledger
        self._run = run
        self._rows: dict[str, int] = {}  # the number of each row, by the photo's name
        self._photos: dict[str, list[tuple[bytes, int, int]]] = {}  # paths, sizes and times, by the thumbnail's name
        self._names: dict[str, list[str]] = {}  # names of equal photos, by the thumbnail's name
        found = ledger.run(
            "SELECT seq, name, outcomes.sha256, path, size_bytes, modified_ns FROM rows"
            " JOIN outcomes ON outcomes.id = outcome JOIN photos USING (path)"
            " WHERE rows.recipe_key = ? AND rows.kind = ? ORDER BY seq",
            (run.recipe_key, RECORD),
        )
        for seq, name, identity, path, size_bytes, modified_ns in found:
            photo = identity[:NAME_DIGITS]
            self._rows[name] = seq
            self._photos.setdefault(photo, []).append((path, size_bytes, modified_ns))
            self._names.setdefault(photo, []).append(name)

    @property
    def identity(self) -> str:
        """What a browser keeps unsaved changes under: another folder or another recipe must not get them."""
        text = b"\0".join((os.path.abspath(os.fsencode(self._run.output)), self._run.recipe_key.encode()))
        return hashlib.sha256(text).hexdigest()[:16]

    @property
    def fields(self) -> list[str]:
        """The fields that the recipe's schema has, of those that people can correct."""
        return [field for field in FIELDS if self._ledger.reviews.has_field(field, self._run.recipe_key)]

    @property
    def forms(self) -> dict[str, Any]:
        """The forms of values that the recipe's schema describes: those of `data`, and the one of `objects`."""
        data: list[Form] = form_of(self._run.schema)
        return {"data": data, OBJECTS: form_of_list(self._run.schema, (OBJECTS,))}

    @property
    def parts(self) -> int:
        """How many parts the entries have, of at most `EACH_FILE` each."""
        return -(-(self._ledger.count(RECORD) + self._ledger.count(FAILURE)) // EACH_FILE)

    def part(self, number: int) -> list[dict[str, Any]]:
        """Return the entries of one part, for the page."""
        found = list(entries(self._ledger, self._run.output, first=number * EACH_FILE, most=EACH_FILE))
        for entry in found:
            entry["href"] = f"{PHOTOS_ADDRESS}{entry['thumbnail']}" if "thumbnail" in entry else ""
        return found

    def photo(self, name: str) -> Path | None:
        """Return the path of a photo, by the name of its thumbnail; None where it is gone or was changed."""
        for path, size_bytes, modified_ns in self._photos.get(name, ()):
            try:
                status = os.stat(path)
            except OSError:
                continue
            if (status.st_size, status.st_mtime_ns) == (size_bytes, modified_ns):
                return Path(os.fsdecode(path))
        return None

    def make(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Make a change, all of it or nothing, and return what became of the photo and of all equal ones.

        Args:
            body: `file` and `photo` name the photo: its name, and that of its thumbnail. `corrections` has a value for
                each field that changes; null goes back to what the model wrote. `edits` has the same for `objects` and
                for places within `data`: an object with a `value`, an empty one for a key that is left out, or null.
                `verdict` is `approved`, `rejected`, or null to take one back.

        Raises:
            Refusal: The body is not as it should be, or there is no such photo.
            Unfit: The schema does not allow an edit.
        """
        file, photo = body.get("file"), body.get("photo")
        if not isinstance(file, str) or file not in self._rows or file not in self._names.get(str(photo), ()):
            raise Refusal(404, f"there is no such photo: {file!r}", hint="load the page again")
        row = self._row(file)
        corrections = self._checked(body.get("corrections", {}), row)
        source = self._ledger.reviews.source(self._run.recipe_key)
        now = self._ledger.reviews.of(row, self._run.recipe_key).row
        edits = checked_edits(body.get("edits", {}), row, now, source)
        if "verdict" in body and body["verdict"] not in _VERDICTS:
            raise Refusal(400, "`verdict` is `approved`, `rejected` or null")
        with self._ledger.transaction():
            self._correct(row, corrections)
            self._edit(row, edits)
            if "verdict" in body:
                self._judge(row, body["verdict"])
        return self.told(str(photo))

    def told(self, photo: str) -> list[dict[str, Any]]:
        """Return what the page is told of a photo and of all equal ones, by the name of their thumbnail."""
        return [{"file": name, **self._entry(self._row(name))} for name in self._names.get(photo, ())]

    def _correct(self, row: Mapping[str, Any], corrections: Mapping[str, Any]) -> None:
        reviews = self._ledger.reviews
        for field, value in corrections.items():
            if value is None or value == row.get(field):
                reviews.restore(row["sha256"], field)
            else:
                reviews.correct(row["sha256"], field, value)

    def _edit(self, row: Mapping[str, Any], edits: Edits) -> None:
        for field, value in edits.items():
            if value is None:
                self._ledger.reviews.restore(row["sha256"], field)
            else:
                self._ledger.reviews.correct(row["sha256"], field, value)

    def _judge(self, row: Mapping[str, Any], verdict: str | None) -> None:
        reviews = self._ledger.reviews
        shown = reviews.of(row, self._run.recipe_key).row
        if verdict == Review.APPROVED:
            reviews.approve(row["sha256"], shown)
        elif verdict == Review.REJECTED:
            reviews.reject(row["sha256"])
        else:
            reviews.withdraw(row["sha256"], shown)

    def _row(self, file: str) -> dict[str, Any]:
        """Return the record of a photo as the model and the task made it."""
        text = self._ledger.value(
            "SELECT json FROM rows JOIN outcomes ON outcomes.id = outcome WHERE seq = ?", (self._rows[file],)
        )
        return {**orjson.loads(text), "file": file}

    def _entry(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return of_record(self._ledger.reviews.of(row, self._run.recipe_key))

    def _checked(self, corrections: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return corrections as the ledger keeps them.

        Raises:
            Refusal: One of them is not a value that the field can have.
        """
        if not isinstance(corrections, dict):
            raise Refusal(400, "`corrections` is an object with a value for each field")
        checked: dict[str, Any] = {}
        for field, value in corrections.items():
            if field not in FIELDS or field == OBJECTS:
                raise Refusal(400, f"`{field}` cannot be corrected: {', '.join(FIELDS)} can")
            checked[field] = None if value is None else (_tags(value) if field == TAGS else _text(field, value))
            if value is not None and not self._ledger.reviews.fits(field, checked[field], row, self._run.recipe_key):
                raise Refusal(400, f"the records of the recipe `{self._run.recipe}` have no field `{field}`")
        return checked


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise Refusal(400, f"`{field}` is a text of at most {LONGEST_TEXT} characters")
    return _clean(value) if field == "description" else " ".join(_clean(value).split())


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_TAGS or not all(isinstance(tag, str) for tag in value):
        raise Refusal(400, f"`{TAGS}` is a list of at most {MOST_TAGS} texts")
    if any(len(tag) > LONGEST_TAG for tag in value):
        raise Refusal(400, f"a tag has at most {LONGEST_TAG} characters")
    return list(dict.fromkeys(tag for tag in (" ".join(_clean(tag).split()) for tag in value) if tag))


def _clean(text: str) -> str:
    return printable(text).strip()
