"""Sinks that make training data or metadata get no records that people have rejected."""

import json

import pytest

from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.write import Outlet, Writer
from tests.pipeline.test_write import run_info

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def written(folder):
    """Return a function that brings records.jsonl up to date and returns its photos. Its sink takes no rejected."""

    def write():
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", folder.targets)
            sink = JsonlSinkFactory().open("records.jsonl", run_info(folder.output))
            sink.takes_rejected = False
            with Writer(ledger, {folder.record_target: Outlet(sink, RECORD)}) as writer:
                writer.start()
        lines = (folder.output / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["file"] for line in lines]

    return write


@pytest.fixture
def judge(folder):
    def judge(what, *names):
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", folder.targets)
            for _, row in list(ledger.rows_after(RECORD, 0)):
                if row["file"] in names:
                    getattr(ledger.reviews, what)(row["sha256"], *([row] if what == "withdraw" else []))

    for name in NAMES:
        folder.put(name)
    folder.describe()
    return judge


def test_a_rejected_record_goes_and_comes_back(written, judge):
    assert written() == NAMES
    judge("reject", "b.jpg")
    assert written() == ["a.jpg", "c.jpg"]
    judge("withdraw", "b.jpg")
    assert written() == NAMES


def test_new_rows_follow_where_some_are_rejected(folder, written, judge):
    judge("reject", "c.jpg")
    assert written() == ["a.jpg", "b.jpg"]
    before = (folder.output / "records.jsonl").stat().st_ino
    folder.put("d.jpg")
    folder.describe()
    assert written() == written() == ["a.jpg", "b.jpg", "d.jpg"]
    assert (folder.output / "records.jsonl").stat().st_ino == before


def test_a_target_may_hold_nothing_because_all_are_rejected(folder, written, judge, caplog):
    judge("reject", *NAMES)
    assert written() == written() == []
    folder.put("d.jpg")
    folder.describe()
    assert written() == ["d.jpg"]
    judge("withdraw", "a.jpg")
    assert written() == ["a.jpg", "d.jpg"]
    assert caplog.messages == []


def test_rows_changed_by_hand_stay_where_some_are_rejected(folder, written, judge):
    judge("reject", "b.jpg")
    written()
    path = folder.output / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"title":"k1"', b'"title":"mine"', 1))
    folder.put("d.jpg")
    folder.describe()
    assert written() == ["a.jpg", "c.jpg", "d.jpg"]
    assert b'"title":"mine"' in path.read_bytes()
    assert not path.with_name("records.jsonl.1").exists()
