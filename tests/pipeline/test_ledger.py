"""The ledger: one writer, all or nothing, and errors in words."""

import sqlite3
import subprocess
import sys

import pytest

from olpipe.errors import OutputBusy, OutputUnavailable
from olpipe.pipeline.ledger import LEDGER_PATH, Ledger, TargetState

HOLD = """
import sys, time
from pathlib import Path
from olpipe.pipeline.ledger import Ledger
with Ledger(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_at_once_and_let_in_when_the_first_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"locked\n"
            with pytest.raises(OutputBusy) as caught:
                Ledger(tmp_path)
        finally:
            holder.kill()
    assert caught.value.message == f"another run is writing to `{tmp_path}`"
    assert caught.value.hint == "wait until it ends, or give another folder with `-o`"
    with Ledger(tmp_path) as ledger:
        assert ledger.begin("k", {}) == 0


def test_one_row_a_photo_holds_whatever_its_name_was_when_it_was_worked(folder):
    folder.put("a.jpg", b"one")
    folder.put("b.jpg", b"one")
    assert folder.describe() == ["a.jpg"]
    assert folder.rows() == ["a.jpg", "b.jpg"]


def test_a_transaction_that_fails_leaves_nothing_behind(folder):
    folder.put("a.jpg")
    folder.describe()
    with Ledger(folder.output) as ledger:
        ledger.begin("k1", {})
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            ledger.run("DELETE FROM rows")
            _ = 1 / 0
    assert folder.rows() == ["a.jpg"]


def test_an_output_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputUnavailable, match=r"`.*/out` cannot be written: (File exists|Not a directory)") as caught:
        Ledger(tmp_path / "out")
    assert caught.value.hint == "give another folder with `-o`"


def test_a_damaged_ledger_says_what_can_be_done(tmp_path):
    path = tmp_path / LEDGER_PATH
    path.parent.mkdir()
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(OutputUnavailable, match=r"the ledger in `.*` is damaged: file is not a database") as caught:
        Ledger(tmp_path)
    assert caught.value.hint == "move it away; the photos will be described again"


def test_a_ledger_of_another_version_is_left_alone(tmp_path):
    with Ledger(tmp_path):
        pass
    with sqlite3.connect(tmp_path / LEDGER_PATH) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OutputUnavailable, match="was written by another version of olpipe"):
        Ledger(tmp_path)


def test_the_last_committed_state_of_a_target_is_found_again(folder):
    folder.put("a.jpg")
    folder.describe()
    assert folder.state() == TargetState(0, 0)
    folder.advance(TargetState(1, 123))
    assert folder.state() == TargetState(1, 123)
