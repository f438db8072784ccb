"""What `benchmarks/kills.py` checks: each sink is read as another program would, and compared with a whole run."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

LEDGER = Path(".olpipe", "ledger.sqlite")
Rows = list[tuple[str, Any]]
"""The photo's name of each row, with all that the row says of it."""


def differences(
    output: Path,
    undisturbed: Path,
    names: Sequence[str],
    sinks: Sequence[str],
    also: Sequence[str] = ("ledger", "page"),
) -> list[str]:
    """Return what is wrong with the output folder of a batch that was killed.

    Args:
        output: The folder.
        undisturbed: The output folder of a run over the same photos that nobody has killed.
        names: The photos' names, sorted.
        sinks: The sinks of both runs, each with its usual target.
        also: What else is read.
    """
    faults = []
    for what in (*also, *sinks):
        try:
            killed, whole = READERS[what](output), READERS[what](undisturbed)
        except (OSError, ValueError, KeyError, sqlite3.Error) as error:
            faults.append(f"{what}: it cannot be read: {error!r}")
            continue
        files = sorted(file for file, _ in killed)
        if files != list(names):
            lacks, more = sorted(set(names) - set(files)), sorted(set(files) - set(names))
            twice = sorted({file for file in files if files.count(file) > 1})
            faults.append(f"{what}: lacks {lacks[:5]}, has {more[:5]} besides, and {twice[:5]} twice")
        elif by_name(killed) != by_name(whole):
            other = [one[0] for one, two in zip(by_name(killed), by_name(whole), strict=True) if one != two]
            faults.append(f"{what}: {len(other)} rows differ, like that of {other[0]}")
    here, there = listed(output), listed(undisturbed)
    if here != there:
        faults.append(f"other files are there: more {sorted(here - there)[:5]}, fewer {sorted(there - here)[:5]}")
    return faults


def by_name(rows: Rows) -> Rows:
    """Return rows in the order of their photos."""
    return sorted(rows, key=lambda row: row[0])


def listed(output: Path) -> set[str]:
    """Return what lies in an output folder, without files that are counted by their readers.

    There may be more thumbnails than rows: those of photos that were drawn anew since stay as long as their outcomes.
    """
    numbered = re.compile(r"part-\d+\.parquet|photos-[0-9a-f]{16}\.js|[0-9a-f]{30}\.jpg")
    paths = (path for path in output.rglob("*") if path.is_file() and not numbered.fullmatch(path.name))
    return {path.relative_to(output).as_posix() for path in paths}


def ledger(output: Path) -> Rows:
    """Read the rows of the ledger, and check that it is whole. An outcome keeps the name that its photo had first."""
    with closing(sqlite3.connect(f"file:{output / LEDGER}?mode=ro", uri=True)) as database:
        check(database, "pragma integrity_check", "ok")
        check(database, "select count(*) from pragma_foreign_key_check", 0)
        return database.execute(
            "select name, photos.sha256 || rows.kind || json_remove(cast(json as text), '$.file') from rows"
            " join photos using (path) join outcomes on outcomes.id = outcome"
        ).fetchall()


def kept_outcomes(output: Path, scratch: Path) -> int:
    """Return how many outcomes a ledger holds. A copy is looked at, so that the next run finds what a kill has left.

    Raises:
        ValueError: It is damaged.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in (output / LEDGER.parent).glob(f"{LEDGER.name}*"):
        shutil.copy(path, scratch / path.name)
    with closing(sqlite3.connect(scratch / LEDGER.name)) as database:
        check(database, "pragma integrity_check", "ok")
        has_tables = database.execute("select count(*) from sqlite_master where name = 'outcomes'").fetchone()[0]
        return int(database.execute("select count(*) from outcomes").fetchone()[0]) if has_tables else 0


def check(database: sqlite3.Connection, question: str, expected: Any) -> None:
    """Raise an error where a database answers otherwise."""
    if (answer := database.execute(question).fetchone()[0]) != expected:
        raise ValueError(f"`{question}` answers {answer}")


def jsonl(output: Path) -> Rows:
    """Read the sink `jsonl`."""
    lines = (output / "records.jsonl").read_text(encoding="utf-8").split("\n")
    if lines.pop():
        raise ValueError("the last line has no end")
    return [(row["file"], row) for row in map(json.loads, lines)]


def table(output: Path) -> Rows:
    """Read the sink `csv`."""
    with (output / "records.csv").open(encoding="utf-8-sig", newline="") as lines:
        return [(row["file"], row) for row in csv.DictReader(lines, strict=True)]


def database(output: Path) -> Rows:
    """Read the sink `sqlite`, and check that its words are those of its rows."""
    with closing(sqlite3.connect(output / "records.sqlite")) as opened:
        check(opened, "pragma integrity_check", "ok")
        opened.execute("insert into words(words) values ('integrity-check')")
        opened.rollback()
        rows = opened.execute("select file, title, description, alt, tags, text, record from records").fetchall()
        found = opened.execute("select count(*) from words where words match 'blanket'").fetchone()[0]
    if found != len(rows):
        raise ValueError(f"a word is found in {found} of {len(rows)} rows")
    return [(row[0], row[1:]) for row in rows]


def sidecars(output: Path) -> Rows:
    """Read the sink `sidecar`."""
    rows = []
    for path in (output / "sidecars").rglob("*.json"):
        row = json.loads(path.read_bytes())
        if path != output / "sidecars" / f"{row['file']}.json":
            raise ValueError(f"`{path}` is of another photo")
        rows.append((row["file"], row))
    return rows


def parquet(output: Path) -> Rows:
    """Read the sink `parquet`."""
    from pyarrow.dataset import dataset

    rows = dataset(output / "records.parquet", format="parquet").to_table().to_pylist()
    return [(row["file"], row) for row in rows]


def coco(output: Path) -> Rows:
    """Read the sink `coco`. Its numbers follow the order of the rows, so names stand for them."""
    document = json.loads((output / "coco" / "instances.json").read_bytes())
    categories = {category["id"]: category["name"] for category in document["categories"]}
    rows = []
    for image in document["images"]:
        boxes = [
            (categories[one["category_id"]], one["bbox"], one["area"])
            for one in document["annotations"]
            if one["image_id"] == image["id"]
        ]
        rows.append((image["file_name"], ({**image, "id": 0}, boxes)))
    return rows


def page(output: Path) -> Rows:
    """Read what the page shows, with the bytes of each thumbnail."""
    text = (output / "index.html").read_text(encoding="utf-8")
    named = re.findall(r"photos-[0-9a-f]{16}\.js", text)
    there = {path.name for path in (output / "index_files").glob("*.js*")}
    if there != set(named):
        raise ValueError(f"it names {named}, and {sorted(there)} are there")
    rows = []
    for name in named:
        script = (output / "index_files" / name).read_text(encoding="utf-8")
        found = re.fullmatch(r"olpipePage\.take\(JSON\.parse\((.*)\)\);\n", script, re.DOTALL)
        if found is None:
            raise ValueError(f"`{name}` is no data")
        rows += json.loads(json.loads(found[1]))
    return [(entry["file"], (entry, thumbnail(output, entry["thumbnail"]))) for entry in rows]


def thumbnail(output: Path, name: str) -> str:
    """Return a digest of a thumbnail's bytes."""
    path = output / "index_files" / ".thumbnails" / name[:2] / f"{name[2:]}.jpg"
    return hashlib.sha256(path.read_bytes()).hexdigest()


READERS: dict[str, Callable[[Path], Rows]] = {
    "ledger": ledger,
    "page": page,
    "jsonl": jsonl,
    "csv": table,
    "sqlite": database,
    "sidecar": sidecars,
    "parquet": parquet,
    "coco": coco,
}
