"""What the page says about each photo, from the rows of the ledger."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from olpipe.archives.opened import archive_of
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.page.thumbnails import NAME_DIGITS
from olpipe.pipeline.reviews import Reviewed

SAME_IN_ALL = frozenset({"file", "sha256", "image", "review", "box_unit", "model", "model_digest", "recipe", "usage"})
"""Keys of records that are not among the values of an entry: they are told elsewhere, or no reader needs them."""

DIGEST_DIGITS = 64
"""What a photo's outcome belongs to begins with the digest of its bytes."""

_ROWS = (
    "FROM rows JOIN outcomes ON outcomes.id = outcome JOIN photos USING (path) WHERE rows.recipe_key = ? ORDER BY seq"
)


def entries(ledger: Ledger, output: Path, *, first: int = 0, most: int = -1) -> Iterator[dict[str, Any]]:
    """Yield an entry for each photo that has a row, in the order in which they got it.

    An entry has `file` and `href`, and `archived` where that leads to the archive in which the photo lies. That of a
    record has `thumbnail`, `width`, `height` and `values`, too. Where people have reviewed it, it has `review`, and
    `written`: what the model wrote in the fields that were corrected. The entry of a failure has `kind`, `message` and
    perhaps `hint`.

    Args:
        ledger: The ledger, after its `begin`.
        output: The output folder. Addresses of photos are relative to it.
        first: How many entries are left out at the beginning.
        most: How many entries there are at most; -1 allows any number.
    """
    folder = os.path.abspath(os.fsencode(output))
    rows = ledger.run(f"SELECT rows.kind, name, path, json {_ROWS} LIMIT ? OFFSET ?", (ledger.recipe_key, most, first))
    for kind, name, path, text in rows:
        row = orjson.loads(text)
        entry = _place(name, path, folder)
        if kind == RECORD:
            yield entry | of_record(ledger.reviews.of(row, ledger.recipe_key))
        else:
            yield entry | _of_failure(row)


def state(ledger: Ledger) -> bytes:
    """Return a digest of all rows that the page shows. It changes when a row comes, goes, is renamed or reviewed."""
    hashed = hashlib.sha256()
    for row in ledger.run(f"SELECT seq, rows.kind, name, path {_ROWS}", (ledger.recipe_key,)):
        hashed.update(repr(row).encode())
    hashed.update(ledger.reviews.digest())
    return hashed.digest()


def photos(ledger: Ledger) -> dict[str, tuple[Path, str]]:
    """Return one path of each photo that has a record, with the digest that its file has by now.

    The keys are the digests that the records give. A sink may have written into the photo since.
    """
    found = ledger.run(
        f"SELECT substr(outcomes.sha256, 1, {DIGEST_DIGITS}), path, photos.sha256 FROM rows JOIN photos USING (path)"
        " JOIN outcomes ON outcomes.id = outcome"
        " WHERE rows.recipe_key = ? AND rows.kind = ? AND photos.sha256 NOT NULL",
        (ledger.recipe_key, RECORD),
    )
    return {described: (Path(os.fsdecode(path)), sha256) for described, path, sha256 in found}


def known_digests(ledger: Ledger) -> set[str]:
    """Return the digests of all photos that the ledger has an outcome for, under any recipe."""
    return {sha256 for (sha256,) in ledger.run("SELECT DISTINCT sha256 FROM outcomes WHERE sha256 NOT NULL")}


def of_record(reviewed: Reviewed) -> dict[str, Any]:
    """Return what the entry of a record says, beside `file` and `href`."""
    row = reviewed.row
    values = {key: value for key, value in row.items() if key not in SAME_IN_ALL}
    if not values.get("truncated"):
        values.pop("truncated", None)
    image = row["image"]
    return {
        "thumbnail": row["sha256"][:NAME_DIGITS],
        "width": image["width"],
        "height": image["height"],
        "values": values,
        **({} if reviewed.state is None else {"review": reviewed.state.value}),
        **({"written": dict(reviewed.written)} if reviewed.written else {}),
    }


def _of_failure(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("kind", "message", "hint") if key in row}


def _place(name: str, path: bytes, folder: bytes) -> dict[str, Any]:
    """Return what a photo is called and where it is. A browser can show an archive's address, but no photo in it."""
    archive = archive_of(Path(os.fsdecode(path)))
    if archive is None:
        return {"file": name, "href": _href(path, folder)}
    return {"file": name, "href": _href(os.fsencode(archive), folder), "archived": True}


def _href(path: bytes, folder: bytes) -> str:
    """Return the address of a photo for a page in a folder. All but letters, digits and `-._~/` is quoted."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return Path(os.fsdecode(path)).as_uri()
    return quote(relative.replace(os.fsencode(os.sep), b"/"), safe="/")
