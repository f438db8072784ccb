"""Ledgers of version 1 go on: nothing is done again, and files that grew go on growing.

`data/version-1` holds photos and what `olpipe batch photos -o out --model echo` made of them at the commit c5123e3,
with the ledger brought to small pages and its photos named below `/`.
"""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from olpipe.errors import OutputUnavailable
from olpipe.imaging.discover import discover
from olpipe.pipeline.ledger import FAILURE, LEDGER_PATH, RECORD, VERSION, Ledger, TargetState
from olpipe.pipeline.selection import Selection
from olpipe.pipeline.survey import Survey, survey

DATA = Path(__file__).parent / "data" / "version-1"
KEY = "574cd06685c348f1b08b9013d3203d174c28cfc256b217d1d48fb91202f6c81d"
TARGETS = {"jsonl:records.jsonl": RECORD, "jsonl:failures.jsonl": FAILURE}


@pytest.fixture
def old(tmp_path):
    """Return a copy of the old output folder, whose ledger knows the photos as they lie beside it."""
    shutil.copytree(DATA / "photos", tmp_path / "photos")
    output = tmp_path / "out"
    (output / LEDGER_PATH).parent.mkdir(parents=True)
    shutil.copy(DATA / "ledger.sqlite", output / LEDGER_PATH)
    for name in ("records.jsonl", "failures.jsonl"):
        shutil.copy(DATA / name, output / name)
    with contextlib.closing(sqlite3.connect(output / LEDGER_PATH, isolation_level=None)) as connection:
        for path, modified_ns in connection.execute("SELECT path, modified_ns FROM photos").fetchall():
            here = os.fsencode(tmp_path) + path
            os.utime(here, ns=(modified_ns, modified_ns))
            connection.execute("UPDATE photos SET path = ? WHERE path = ?", (here, path))
            connection.execute("UPDATE rows SET path = ? WHERE path = ?", (here, path))
    return output


def user_version(output):
    with contextlib.closing(sqlite3.connect(output / LEDGER_PATH)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_what_is_stored_is_a_ledger_of_version_1():
    with contextlib.closing(sqlite3.connect(f"file:{DATA / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT name, position FROM sinks").fetchall() == [
            ("failures", (DATA / "failures.jsonl").stat().st_size),
            ("records", (DATA / "records.jsonl").stat().st_size),
        ]


def test_opening_it_brings_it_to_the_new_version_with_every_row_and_position(old):
    with Ledger(old) as ledger:
        assert ledger.begin(KEY, TARGETS) == 0
        assert [row["file"] for _, row in ledger.rows_after(RECORD, 0)] == ["a.jpg", "twin.jpg", "sub/b.jpg"]
        assert [row["file"] for _, row in ledger.rows_after(FAILURE, 0)] == ["junk.jpg"]
        assert ledger.state("jsonl:records.jsonl") == TargetState(4, (old / "records.jsonl").stat().st_size)
        assert ledger.state("jsonl:failures.jsonl") == TargetState(3, (old / "failures.jsonl").stat().st_size)
    assert user_version(old) == VERSION
    with Ledger(old) as ledger:
        assert ledger.begin(KEY, TARGETS) == 0
        assert ledger.count(RECORD) == 3


def test_no_photo_is_left_to_do(old):
    photos = discover([str(old.parent / "photos")], (".jpg",)).images
    with Ledger(old) as ledger:
        ledger.begin(KEY, TARGETS)
        assert survey(ledger, photos, Selection()) == Survey((), wanted=4, records=3, failures=1, renamed=0)


@pytest.mark.parametrize("change", ["renamed", "changed"])
def test_rows_that_are_no_longer_true_make_migrated_targets_start_over(old, change):
    path = old.parent / "photos" / "sub" / "b.jpg"
    if change == "renamed":
        path.rename(path.with_name("z.jpg"))
    else:
        path.write_bytes(b"other bytes")
    photos = discover([str(old.parent / "photos")], (".jpg",)).images
    with Ledger(old) as ledger:
        ledger.begin(KEY, TARGETS)
        found = survey(ledger, photos, Selection())
        assert (len(found.todo), found.renamed) == ((0, 1) if change == "renamed" else (1, 0))
        assert ledger.state("jsonl:records.jsonl") == TargetState(0, (old / "records.jsonl").stat().st_size)
        assert ledger.state("jsonl:failures.jsonl").seq == 3


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old):
    with contextlib.closing(sqlite3.connect(old / LEDGER_PATH)) as connection:
        connection.execute("CREATE TABLE targets(x)")
    with pytest.raises(OutputUnavailable, match="table targets already exists"):
        Ledger(old)
    assert user_version(old) == 1
    with contextlib.closing(sqlite3.connect(old / LEDGER_PATH)) as connection:
        assert connection.execute("SELECT sink, count(*) FROM rows GROUP BY sink").fetchall() == [
            ("failures", 1),
            ("records", 3),
        ]


def test_a_target_of_version_2_keeps_its_position_from_now_on_when_it_starts_over(old):
    records = (old / "records.jsonl").stat().st_size
    Ledger(old).__exit__(None, None, None)
    with contextlib.closing(sqlite3.connect(old / LEDGER_PATH, isolation_level=None)) as connection:
        for name, event in (("row_gone", "DELETE ON rows"), ("photo_renamed", "UPDATE OF name ON photos")):
            connection.execute(f"DROP TRIGGER {name}")
            connection.execute(
                f"CREATE TRIGGER {name} AFTER {event} BEGIN UPDATE targets SET seq = 0, position = 0; END"
            )
        connection.execute("PRAGMA user_version = 2")
    with Ledger(old) as ledger:
        ledger.begin(KEY, TARGETS)
        ledger.run("DELETE FROM rows WHERE kind = 'record'")
        assert ledger.state("jsonl:records.jsonl") == TargetState(0, records)
    assert user_version(old) == VERSION
