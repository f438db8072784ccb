"""A short form of `benchmarks/kills.py`, and what it can find."""

import json
import shutil
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from kills import Trial  # noqa: E402
from kills_checks import differences  # noqa: E402


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are killed by signals here")
def test_a_batch_that_is_killed_many_times_ends_with_every_photo_once_in_every_sink(tmp_path):
    trial = Trial(tmp_path, seed=3, plugin_sinks=())
    assert trial.run(8) == []
    assert trial.fell.total() == 8
    found = differences(tmp_path / "out", tmp_path / "undisturbed", [], ["jsonl"])
    assert [fault.partition(":")[0] for fault in found] == ["ledger", "page", "jsonl"]  # no photo should be there


def test_a_row_that_is_lost_or_there_twice_is_found(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    rows = [json.dumps({"file": name}) + "\n" for name in ("a.jpg", "b.jpg")]
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "records.jsonl").write_text("".join(rows))
    assert differences(killed, whole, ["a.jpg", "b.jpg"], ["jsonl"], also=()) == []
    for text, what in (
        (rows[0], "jsonl: lacks ['b.jpg'], has [] besides, and [] twice"),
        (rows[0] * 2 + rows[1], "jsonl: lacks [], has [] besides, and ['a.jpg'] twice"),
        (rows[1] + '{"file":"a.jpg","title":1}\n', "jsonl: 1 rows differ, like that of a.jpg"),
        ("".join(rows)[:-1], "jsonl: it cannot be read: ValueError('the last line has no end')"),
    ):
        (killed / "records.jsonl").write_text(text)
        assert differences(killed, whole, ["a.jpg", "b.jpg"], ["jsonl"], also=()) == [what]
    shutil.copy(whole / "records.jsonl", killed)
    (killed / "records.jsonl.new").touch()
    assert differences(killed, whole, ["a.jpg", "b.jpg"], ["jsonl"], also=()) == [
        "other files are there: more ['records.jsonl.new'], fewer []"
    ]
