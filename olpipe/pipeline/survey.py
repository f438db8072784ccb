"""Compare the photos that were found with the ledger: what is done, renamed, changed, and what is left to do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.archives.opened import archive_of
from olpipe.errors import ImageError, UsageError
from olpipe.image import ImageRef
from olpipe.imaging.discover import read
from olpipe.pipeline.copies import EQUAL, drop_stale
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger
from olpipe.pipeline.selection import Selection
from olpipe.record import Certainty, FailureKind

_FOUND = (
    "CREATE TEMP TABLE found(path BLOB PRIMARY KEY, name TEXT, size_bytes INTEGER, modified_ns INTEGER,"
    " place INTEGER, wanted INTEGER) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run finds before it begins.

    Attributes:
        todo: Photos without an outcome, in order.
        wanted: How many photos are to have an outcome at the end.
        records: How many photos have a record already.
        failures: How many photos failed before and are not tried again.
        renamed: How many rows got a new name.
    """

    todo: tuple[ImageRef, ...]
    wanted: int
    records: int
    failures: int
    renamed: int


def survey(ledger: Ledger, images: Sequence[ImageRef], selection: Selection, *, near: int = EQUAL) -> Survey:
    """Bring the ledger's paths up to date with the photos found, and list what is left to do.

    All rows that have to go are deleted here, before the first new row: during the run, targets only grow. A photo that
    is no longer there keeps its row, unless another photo has taken its name.

    Files that could not be opened and formats that were not supported are always tried again: that costs very little,
    and the reason may be gone. Other failures are tried again when their file has changed, or as the selection says.

    Args:
        ledger: The ledger, after its `begin`.
        images: The photos found, sorted.
        selection: Which of them are to be done, and what is done again.
        near: How far a photo may be from the one whose record it has a copy of.

    Raises:
        UsageError: A photo's name belongs to another one that is still there.
    """
    wanted = selection.places(images)
    with ledger.transaction():
        _note_found(ledger, images, wanted)
        _refuse_taken_names(ledger)
        _drop_changed(ledger)
        renamed = _follow_renames(ledger, images)
        _drop_told_otherwise(ledger)
        _drop_replaced(ledger)
        _drop_failures(ledger, selection.retry)
        if selection.fresh:
            _drop_wanted(ledger)
        drop_stale(ledger, near)
        counts = {kind: _count(ledger, kind) for kind in (RECORD, FAILURE)}
        todo = ledger.run(
            "SELECT place FROM found WHERE wanted AND NOT EXISTS"
            " (SELECT 1 FROM rows WHERE rows.path = found.path AND recipe_key = ?) ORDER BY place",
            (ledger.recipe_key,),
        ).fetchall()
        ledger.run("DROP TABLE temp.gone")  # the other one stays for `certainties`
    left = tuple(images[place] for (place,) in todo)
    return Survey(left, len(wanted), counts[RECORD], counts[FAILURE], renamed)


def _note_found(ledger: Ledger, images: Sequence[ImageRef], wanted: Sequence[int]) -> None:
    """Fill two tables: `found` with the photos found, and `gone` with the ledger's photos that are no longer there."""
    chosen = wanted if isinstance(wanted, range) else frozenset(wanted)
    ledger.run("DROP TABLE IF EXISTS temp.found")
    ledger.run(_FOUND)
    ledger.run_many(
        "INSERT INTO found VALUES (?, ?, ?, ?, ?, ?)",
        (
            (os.fsencode(image.path), image.name, image.size_bytes, image.modified_ns, place, place in chosen)
            for place, image in enumerate(images)
        ),
    )
    ledger.run("CREATE TEMP TABLE gone(path BLOB PRIMARY KEY) WITHOUT ROWID")
    missing = ledger.run("SELECT path FROM photos WHERE path NOT IN (SELECT path FROM found)").fetchall()
    archives = {image.archive for image in images if image.archive is not None}
    ledger.run_many("INSERT INTO gone VALUES (?)", (row for row in missing if _is_gone(row[0], archives)))


def _is_gone(path: bytes, archives: Collection[Path]) -> bool:
    """Say whether a photo is no longer there. What archives hold is known only of those that were looked into."""
    if os.path.lexists(path):
        return False
    archive = archive_of(_path(path))
    return archive is None or archive in archives


def _refuse_taken_names(ledger: Ledger) -> None:
    taken = ledger.run(
        "SELECT name, photos.path FROM photos JOIN found USING (name) WHERE photos.path <> found.path"
        " AND photos.path NOT IN (SELECT path FROM found) AND photos.path NOT IN (SELECT path FROM gone)"
        " ORDER BY name LIMIT 1"
    ).fetchone()
    if taken is not None:
        raise UsageError(
            f"`{ledger.output}` already has a row `{taken[0]}`, for {os.fsdecode(taken[1])!r}",
            hint="give all folders in one command, or each its own output with `-o`",
        )


def _drop_changed(ledger: Ledger) -> None:
    """Delete the rows of photos whose file has changed."""
    changed = (
        "(SELECT path FROM photos JOIN found USING (path)"
        " WHERE photos.size_bytes <> found.size_bytes OR photos.modified_ns <> found.modified_ns)"
    )
    ledger.run(f"DELETE FROM rows WHERE path IN {changed}")
    ledger.run(f"DELETE FROM photos WHERE path IN {changed}")


def _follow_renames(ledger: Ledger, images: Sequence[ImageRef]) -> int:
    """Give the rows of renamed photos their new paths and names, and return how many names are new.

    A file is read for this only if it has the size of a photo that is gone. No model is asked.
    """
    candidates = ledger.run(
        "SELECT path, place FROM found WHERE path NOT IN (SELECT path FROM photos)"
        " AND size_bytes IN (SELECT size_bytes FROM photos WHERE path IN (SELECT path FROM gone)) ORDER BY place"
    ).fetchall()
    for path, place in candidates:
        image = images[place]
        old = _same_bytes(ledger, image)
        if old is not None:
            ledger.run("UPDATE rows SET path = ? WHERE path = ?", (path, old))
            ledger.run(
                "UPDATE photos SET path = ?, size_bytes = ?, modified_ns = ? WHERE path = ?",
                (path, image.size_bytes, image.modified_ns, old),
            )
            ledger.run("DELETE FROM gone WHERE path = ?", (old,))
    new_name = "(SELECT name FROM found WHERE found.path = photos.path)"
    return ledger.run(f"UPDATE photos SET name = {new_name} WHERE name <> {new_name}").rowcount


def _drop_told_otherwise(ledger: Ledger) -> None:
    """Delete the rows of photos of which the prompt would tell something else now: they were renamed or moved."""
    if ledger.told is None:
        return
    rows = ledger.run(
        "SELECT seq, path, photos.sha256, outcomes.sha256 FROM rows JOIN photos USING (path)"
        " JOIN outcomes ON outcomes.id = outcome WHERE rows.recipe_key = ?",
        (ledger.recipe_key,),
    ).fetchall()
    otherwise = [(seq,) for seq, path, sha256, held in rows if held != ledger.identity(sha256, _path(path))]
    ledger.run_many("DELETE FROM rows WHERE seq = ?", otherwise)


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def _same_bytes(ledger: Ledger, image: ImageRef) -> bytes | None:
    """Return the path of a photo that is gone and had the same bytes; one with the same name is preferred."""
    try:
        _, data = read(image)
    except (ImageError, OSError):
        return None  # the run will report this photo as a failure
    found = ledger.run(
        "SELECT path FROM photos JOIN gone USING (path) WHERE sha256 = ? ORDER BY name <> ?, path LIMIT 1",
        (hashlib.sha256(data).hexdigest(), image.name),
    ).fetchone()
    return None if found is None else bytes(found[0])


def _drop_replaced(ledger: Ledger) -> None:
    """Delete the rows of photos that are gone and whose name another photo has taken."""
    replaced = "(SELECT path FROM photos JOIN gone USING (path) WHERE name IN (SELECT name FROM found))"
    ledger.run(f"DELETE FROM rows WHERE path IN {replaced}")
    ledger.run(f"DELETE FROM photos WHERE path IN {replaced}")


def _drop_failures(ledger: Ledger, retry: Collection[FailureKind]) -> None:
    """Delete failures that are to be tried again, and all failures that no row refers to any more."""
    kinds = sorted({FailureKind.UNSUPPORTED, *retry})
    failed = ledger.run(
        "SELECT outcome FROM rows JOIN found USING (path) JOIN outcomes ON outcomes.id = outcome"
        " WHERE wanted AND rows.recipe_key = ? AND rows.kind = ?"
        f" AND (sha256 IS NULL OR outcomes.kind IN ({', '.join('?' * len(kinds))}))",
        (ledger.recipe_key, FAILURE, *kinds),
    ).fetchall()
    ledger.run_many("DELETE FROM rows WHERE outcome = ?", failed)
    ledger.run("DELETE FROM outcomes WHERE kind <> 'record' AND id NOT IN (SELECT outcome FROM rows)")


def _drop_wanted(ledger: Ledger) -> None:
    """Delete what the wanted photos have, and what no photo has any more: equal bytes are described again, too."""
    done = ledger.run(
        "SELECT DISTINCT outcome FROM rows JOIN found USING (path) WHERE wanted AND recipe_key = ?",
        (ledger.recipe_key,),
    ).fetchall()
    ledger.run_many("DELETE FROM rows WHERE outcome = ?", done)
    unused = "recipe_key = ? AND id NOT IN (SELECT outcome FROM rows)"
    ledger.run(f"DELETE FROM outcomes WHERE {unused}", (ledger.recipe_key,))


def certainties(ledger: Ledger) -> dict[Certainty, int]:
    """Return how many of the wanted photos have a record of each certainty. It comes after `survey`."""
    found = ledger.run(
        "SELECT json_extract(CAST(json AS TEXT), '$.certainty') AS certainty, count(*) FROM rows"
        " JOIN found USING (path) JOIN outcomes ON outcomes.id = outcome"
        " WHERE wanted AND rows.recipe_key = ? AND rows.kind = ? AND certainty IS NOT NULL GROUP BY certainty",
        (ledger.recipe_key, RECORD),
    )
    return {Certainty(certainty): number for certainty, number in found}


def _count(ledger: Ledger, kind: str) -> int:
    found = ledger.value(
        "SELECT count(*) FROM rows JOIN found USING (path) WHERE wanted AND recipe_key = ? AND kind = ?",
        (ledger.recipe_key, kind),
    )
    return int(found)
