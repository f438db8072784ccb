"""Sinks follow the ledger: exactly its rows, whatever happened to the file in between."""

import json

import pytest

from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.interfaces import RunInfo
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.write import Writer


@pytest.fixture
def written(folder):
    """Return a function that brings records.jsonl up to date and returns its lines' files."""

    def write():
        with Ledger(folder.output) as ledger:
            ledger.begin("k1")
            target = folder.output / "records.jsonl"
            sink = JsonlSinkFactory().open(str(target), RunInfo("r", "k1"))
            with Writer(ledger, {"records": sink}) as writer:
                writer.start()
            return [json.loads(line)["file"] for line in target.read_text(encoding="utf-8").splitlines()]

    return write


def test_rows_are_appended_and_never_twice(folder, written):
    folder.put("a.jpg")
    folder.describe()
    assert written() == ["a.jpg"]
    first = (folder.output / "records.jsonl").stat()
    folder.put("b.jpg")
    folder.describe()
    assert written() == ["a.jpg", "b.jpg"]
    assert written() == ["a.jpg", "b.jpg"]
    assert (folder.output / "records.jsonl").stat().st_ino == first.st_ino  # grown, not written again
    assert folder.state().position > first.st_size


def test_without_rows_the_file_is_there_and_empty(folder, written):
    assert written() == []


@pytest.mark.parametrize("tail", [b'{"file":"b.j', b'{"file":"b.jpg"}\n', b"\n\n", b"\xff" * 5000])
def test_what_lies_behind_the_committed_position_is_cut(folder, written, tail):
    folder.put("a.jpg")
    folder.describe()
    written()
    with (folder.output / "records.jsonl").open("ab") as file:
        file.write(tail)
    folder.put("b.jpg")
    folder.describe()
    assert written() == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("damage", ["remove", "shorten", "empty"])
def test_a_file_that_lost_rows_is_written_again(folder, written, damage):
    for name in ("a.jpg", "b.jpg"):
        folder.put(name)
    folder.describe()
    written()
    path = folder.output / "records.jsonl"
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: -10 if damage == "shorten" else 0])
    assert written() == ["a.jpg", "b.jpg"]


def test_a_file_that_starts_over_keeps_the_old_rows_until_the_new_are_complete(folder, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"old\n")
    sink = JsonlSinkFactory().open(str(path), RunInfo("r", "k1"))
    assert sink.recover(0)
    sink.write({"file": "a.jpg"})
    assert path.read_bytes() == b"old\n"
    assert sink.flush() == 17
    assert path.read_bytes() == b'{"file":"a.jpg"}\n'
    sink.write({"file": "b.jpg"})
    assert sink.flush() == 34
    sink.close()
    assert path.read_bytes() == b'{"file":"a.jpg"}\n{"file":"b.jpg"}\n'
    assert [found.name for found in tmp_path.iterdir() if found.suffix == ".new"] == []


def test_rows_that_are_no_longer_true_leave_the_file(folder, written):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    folder.describe()
    assert written() == ["a.jpg", "b.jpg", "c.jpg"]
    folder.put("a.jpg", b"changed")
    (folder.photos / "b.jpg").rename(folder.photos / "z.jpg")
    folder.describe()
    assert written() == ["z.jpg", "c.jpg", "a.jpg"]
