"""A batch that was killed leaves files that its next run knows as its own, whatever became of the photos meanwhile."""

import contextlib
import signal
import sqlite3
import subprocess
import sys

import pytest

from olpipe.testing.install import install_plugin

if sys.platform == "win32":
    pytest.skip("processes are killed by signals here", allow_module_level=True)

SINKS = [word for sink in ("jsonl", "csv", "sidecar", "sqlite") for word in ("--sink", sink)]

# An installed plugin that kills its process before the ledger learns for the n-th time how far a target is
DEADLY = """
import os, signal
from olpipe.pipeline.ledger import Ledger

left = int(os.environ.get("DIE_AT", "0"))
advance = Ledger.advance

def deadly(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(*arguments)

Ledger.advance = deadly
"""


@pytest.fixture
def killed(batch, plugin_folder):
    """Return a function that runs the batch until one of its targets is written, and the ledger does not know it."""
    (plugin_folder / "deadly.py").write_text(DEADLY)
    install_plugin(plugin_folder, "deadly", "deadly")

    def run(step):
        options = {"environment": {"DIE_AT": str(step)}, "stderr": subprocess.DEVNULL}
        with batch.start(*SINKS, **options) as process:
            assert process.wait() == -signal.SIGKILL

    return run


def spares(batch):
    """Return what was kept beside the files, and what is unfinished."""
    return sorted(path.name for path in batch.output.rglob("*") if path.suffix in (".1", ".new", ".note"))


@pytest.mark.examples(2)
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_targets_of_a_first_run_that_was_killed_are_not_taken_for_those_of_others(batch, killed, step):
    batch.put("a.jpg")
    killed(step)
    code, said = batch.run(*SINKS)
    assert (code, batch.files, spares(batch)) == (0, ["a.jpg"], [])
    assert "kept as" not in said


@pytest.mark.examples(2)
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_rows_that_were_written_before_a_kill_go_when_a_photo_is_renamed_meanwhile(batch, killed, step):
    batch.put("a.jpg", "b.jpg")
    batch.run(*SINKS)
    batch.put("c.jpg")
    killed(step)
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    code, said = batch.run(*SINKS)
    assert (code, sorted(batch.files), spares(batch)) == (0, ["b.jpg", "c.jpg", "z.jpg"], [])
    assert "kept as" not in said


def test_rows_that_were_written_before_a_kill_go_when_their_photo_has_changed(batch, killed):
    batch.put("a.jpg")
    batch.run(*SINKS)
    batch.put("b.jpg")
    killed(1)
    batch.put("c.jpg")
    (batch.photos / "c.jpg").replace(batch.photos / "b.jpg")
    code, said = batch.run(*SINKS)
    assert (code, batch.files, spares(batch)) == (0, ["a.jpg", "b.jpg"], [])
    assert "kept as" not in said


def test_lines_that_somebody_wrote_behind_those_of_a_killed_run_are_kept(batch, killed):
    batch.put("a.jpg")
    batch.run(*SINKS)
    batch.put("b.jpg")
    killed(1)
    with (batch.output / "records.jsonl").open("ab") as file:
        file.write(b'{"file":"mine.jpg"}\n')
    assert "what it held is kept as `records.jsonl.1`" in batch.run(*SINKS)[1]
    assert b"mine.jpg" in (batch.output / "records.jsonl.1").read_bytes()
    assert batch.files == ["a.jpg", "b.jpg"]


# Changes a database as far as possible without ending the change
HALF_WAY = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("pragma cache_size = 1")
database.execute("begin")
database.execute("update records set title = title || ' and more'")
database.execute("create table other(bytes)")
database.executemany("insert into other values (zeroblob(5000))", [()] * 200)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_noted_to_take_changes_back_does_not_damage_the_database_of_the_next(batch):
    batch.put("a.jpg", "b.jpg")
    batch.run("--sink", "sqlite")
    database = batch.output / "records.sqlite"
    assert subprocess.run([sys.executable, "-c", HALF_WAY, database]).returncode == -signal.SIGKILL
    assert database.with_name("records.sqlite-journal").stat().st_size
    (batch.output / ".olpipe" / "ledger.sqlite").unlink()
    assert batch.run("--sink", "sqlite")[0] == 0
    with contextlib.closing(sqlite3.connect(database)) as opened:
        assert opened.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert opened.execute("select file from records order by file").fetchall() == [("a.jpg",), ("b.jpg",)]
