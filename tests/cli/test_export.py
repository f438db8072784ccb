"""`olpipe export`: the records of a batch, written again from its ledger."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from olpipe.cli.main import main
from olpipe.generation import Usage
from olpipe.image import ImageRef
from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import FAILURE, LEDGER_PATH, VERSION, Ledger, TargetState
from olpipe.plugins import Plugins
from olpipe.record import Failure, FailureKind, ImageInfo, Record
from olpipe.settings import Settings
from olpipe.testing.install import install_plugin

FORMER = Path(__file__).parents[1] / "pipeline" / "data" / "version-1"
NAMES = ["a.jpg", "c.jpg", "sub/b.jpg"]
FAILURES = "jsonl:failures.jsonl"
TITLE = {"type": "object", "properties": {"title": {"type": "string"}, "alt": {"type": "string"}}}
INFO = ImageInfo(4, 3, 1, "JPEG")

# A plugin whose sink ends the process, as `kill -9` does, when it gets its second row.
DEADLY = """
import os, signal
from olpipe.default_plugins.sinks.csv import CsvSink

wrote, rows = CsvSink.write, []

def write(self, row):
    rows.append(row)
    if len(rows) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    wrote(self, row)

CsvSink.write = write
"""


class Album:
    """The output folder of batches whose photos and whose model are gone."""

    def __init__(self, output):
        self.output = output
        self.ledger = output / LEDGER_PATH

    def describe(self, *names, key="k1", schema=TITLE, killed=False, failed=(), **values):
        """Do what a run does; a run that was killed at its first photo has written nothing but its ledger."""
        with Ledger(self.output) as ledger:
            run = RunInfo(self.output.parent, self.output, schema, f"recipe-{key}", key, "m:latest", "sha256:0")
            ledger.begin(key, {FAILURES: FAILURE})
            remember_run(ledger, run)
            for name in (*names, *failed):
                image = ImageRef(self.output.parent / name, name, 1, 1)
                found = {"title": f"{key}: {name}", **values}
                record = Record(
                    name, name, INFO, found, run.model, run.model_digest, run.recipe, Usage(), truncated=False
                )
                failure = Failure(name, name, FailureKind.REFUSED, "bad")
                ledger.commit(failure if name in failed else record, [image])
            if not killed:
                ledger.advance(FAILURES, TargetState(ledger.value("SELECT max(seq) FROM rows"), 1))


@pytest.fixture
def album(tmp_path):
    return Album(tmp_path / "out")


@pytest.fixture
def done(album):
    album.describe(*NAMES, failed=["junk.jpg"])
    return album


@pytest.fixture
def export(tmp_path, capsys):
    """Return a function that runs the command; it returns the exit code, stdout and stderr."""

    def run(*arguments, output=tmp_path / "out"):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(output), *map(str, arguments)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def table(path):
    with open(path, encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def files(path):
    return [row["file"] for row in table(path)]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".olpipe" not in path.parts}


def test_what_a_batch_has_done_is_exported_and_a_batch_goes_on_there(batch, export, tmp_path):
    batch.put("a.jpg")
    batch.run()
    assert export("--sink", "csv") == (0, "", f"1 record in {batch.output}/records.csv (1 new)\n")
    batch.put("b.jpg")
    batch.run("--sink", "csv", "--sink", "jsonl")
    shutil.rmtree(batch.photos)
    shutil.rmtree(Path(os.environ["OLPIPE_HOME"]) / "models")
    assert export("--sink", "csv", "--sink", f"csv:{tmp_path}/again.csv")[2].splitlines() == [
        f"2 records in {batch.output}/records.csv (0 new)",
        f"2 records in {tmp_path}/again.csv (2 new)",
    ]
    assert (tmp_path / "again.csv").read_bytes() == (batch.output / "records.csv").read_bytes()
    assert files(tmp_path / "again.csv") == batch.files == ["a.jpg", "b.jpg"]
    assert [row["title"] for row in table(tmp_path / "again.csv")] == [row["title"] for row in batch.records]


def test_records_go_to_any_number_of_sinks(done, export):
    code, out, said = export("--sink", "csv", "--sink", "sqlite:tables/all.sqlite", "--sink", "sidecar")
    assert (code, out, said.splitlines()) == (
        0,
        "",
        [
            f"3 records in {done.output}/records.csv (3 new)",
            f"3 records in {done.output}/tables/all.sqlite (3 new)",
            f"3 records in {done.output}/sidecars (3 new)",
        ],
    )
    assert files(done.output / "records.csv") == NAMES
    with closing(sqlite3.connect(done.output / "tables/all.sqlite")) as database:
        assert database.execute("select file from records order by number").fetchall() == [(name,) for name in NAMES]
    assert json.loads((done.output / "sidecars/sub/b.jpg.json").read_bytes())["title"] == "k1: sub/b.jpg"


def test_the_same_command_again_writes_only_what_is_new(done, export):
    export("--sink", "csv")
    before = (done.output / "records.csv").read_bytes()
    assert export("--sink", "csv")[2] == f"3 records in {done.output}/records.csv (0 new)\n"
    assert (done.output / "records.csv").read_bytes() == before
    done.describe("z.jpg")
    assert export("--sink", "csv")[2] == f"4 records in {done.output}/records.csv (1 new)\n"
    assert (done.output / "records.csv").read_bytes().startswith(before)


def test_a_table_corrected_by_hand_stays(done, export):
    export("--sink", "csv")
    path = done.output / "records.csv"
    path.write_bytes(path.read_bytes().replace(b"k1: a.jpg", b"Mine"))
    done.describe("z.jpg")
    code, _, said = export("--sink", "csv")
    assert code == 0
    assert "was changed by hand" in said
    assert [row["title"] for row in table(path)] == ["Mine", "k1: c.jpg", "k1: sub/b.jpg", "k1: z.jpg"]


def test_json_says_what_was_written(done, export):
    code, out, said = export("--sink", "csv:my.csv", "--json")
    assert (code, said) == (0, "")
    assert json.loads(out) == {
        "output": str(done.output),
        "recipe": "recipe-k1",
        "model": "m:latest",
        "records": 3,
        "targets": [{"sink": "csv", "target": "my.csv", "path": str(done.output / "my.csv"), "new": 3}],
    }


def test_the_records_are_those_of_the_recipe_that_ran_last(done, export):
    export("--sink", "csv")
    done.describe("a.jpg", key="k2")
    assert export("--sink", "csv")[2].splitlines() == [
        f"replaced: 3 records of another recipe or model; the ledger of `{done.output}` keeps them",
        f"1 record in {done.output}/records.csv (1 new)",
    ]
    assert [row["title"] for row in table(done.output / "records.csv")] == ["k2: a.jpg"]
    done.describe("c.jpg", key="k3", killed=True)
    assert export("--sink", "csv")[2] == f"1 record in {done.output}/records.csv (0 new)\n"
    done.describe(key="k1")
    assert files(done.output / "records.csv") == ["a.jpg"]
    export("--sink", "csv")
    assert files(done.output / "records.csv") == NAMES


def test_a_sink_learns_the_schema_of_the_recipe(album, export):
    album.describe("a.jpg", schema={"properties": {"n": {"const": 1}, "m": {}}}, data={"n": 1})
    export("--sink", "csv")
    (row,) = table(album.output / "records.csv")
    assert (row["data.n"], row["data.m"]) == ("1", "")


def test_what_a_run_has_done_that_was_killed_is_exported(album, export):
    album.describe("a.jpg", killed=True)
    assert export("--sink", "csv") == (0, "", f"1 record in {album.output}/records.csv (1 new)\n")


def test_an_export_that_was_killed_is_made_whole_by_the_next_one(done, export, plugin_folder):
    (plugin_folder / "deadly.py").write_text(DEADLY)
    install_plugin(plugin_folder, "deadly", "deadly")
    line = [sys.executable, "-P", "-m", "olpipe", "export", str(done.output), "--sink", "csv"]
    assert subprocess.run(line, capture_output=True).returncode == -signal.SIGKILL
    shutil.rmtree(plugin_folder / "deadly-1.0.dist-info")
    assert export("--sink", "csv")[2] == f"3 records in {done.output}/records.csv (3 new)\n"
    assert files(done.output / "records.csv") == NAMES
    assert not list(done.output.glob("*.new"))


def test_records_of_an_older_version_are_exported_too(export, tmp_path):
    output = tmp_path / "old"
    (output / LEDGER_PATH).parent.mkdir(parents=True)
    shutil.copy(FORMER / "ledger.sqlite", output / LEDGER_PATH)
    code, _, said = export("--sink", "csv", "--sink", "jsonl:again.jsonl", output=output)
    assert code == 0, said
    assert (output / "again.jsonl").read_bytes() == (FORMER / "records.jsonl").read_bytes()
    rows = [json.loads(line) for line in (FORMER / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    found = table(output / "records.csv")
    assert [[row[name] for name in ("file", "title", "model")] for row in found] == [
        [row[name] for name in ("file", "title", "model")] for row in rows
    ]


def test_the_columns_of_a_run_of_an_older_version_are_those_of_all_its_records(album, export):
    album.describe("a.jpg", tags=["cat"])
    album.describe("b.jpg", tags=[], mood="calm")
    with closing(sqlite3.connect(album.ledger)) as connection:
        connection.execute("DROP TABLE runs")
        connection.commit()
    export("--sink", "csv", "--sink", "sidecar")
    rows = table(album.output / "records.csv")
    assert [(row["tags"], row["mood"], row["other"]) for row in rows] == [("cat", "", ""), ("", "calm", "")]


# --- what cannot be exported ---------------------------------------------------------------------


def test_a_file_of_somebody_else_is_not_replaced(done, export):
    (done.output / "records.csv").write_text("date,amount\n")
    assert export("--sink", "csv") == (
        4,
        "",
        f"error: `{done.output}/records.csv` holds something else than records, and is not replaced\n"
        "hint: move it away, or name another target: `csv:TARGET`\n",
    )
    assert (done.output / "records.csv").read_text() == "date,amount\n"


@pytest.mark.parametrize(
    ("sink", "error", "hint"),
    [
        ("csw", "no sink is called `csw`", "did you mean `csv`? sinks are {sinks}"),
        ("excel", "no sink is called `excel`", "sinks are {sinks}"),
        ("csv:run.json", "`run.json` is the report of the run", "name another target: `csv:TARGET`"),
    ],
)
def test_a_sink_that_cannot_be_used_is_one_line(done, export, sink, error, hint):
    before = contents(done.output)
    known = Plugins.load(Settings.read()).sinks.names()
    assert {"jsonl", "csv"} <= set(known)
    assert export("--sink", sink) == (2, "", f"error: {error}\nhint: {hint.format(sinks=', '.join(known))}\n")
    assert contents(done.output) == before


def test_a_folder_without_a_ledger_stays_as_it_is(export, tmp_path):
    folder = tmp_path / "somewhere"
    hint = "hint: name the folder that `olpipe batch` wrote to\n"
    assert export("--sink", "csv", output=folder) == (2, "", f"error: `{folder}` is not there\n{hint}")
    folder.mkdir()
    assert export("--sink", "csv", output=folder) == (
        2,
        "",
        f"error: `{folder}` holds no ledger of `olpipe batch`\n{hint}",
    )
    assert list(folder.iterdir()) == []


def test_a_run_without_a_record_has_nothing_to_export(album, export):
    album.describe(failed=["junk.jpg"])
    error = f"error: `{album.output}` has no records yet\nhint: run `olpipe batch` first\n"
    assert export("--sink", "csv") == (2, "", error)
    album.ledger.write_bytes(b"")
    assert export("--sink", "csv") == (2, "", error)
    assert contents(album.output) == {}


def test_a_folder_in_which_a_run_works_is_left_alone(done, export):
    with Ledger(done.output):
        assert export("--sink", "csv") == (
            4,
            "",
            f"error: another run is writing to `{done.output}`\nhint: wait until it ends\n",
        )


def test_a_ledger_of_a_newer_version_is_refused(done, export):
    with closing(sqlite3.connect(done.ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    assert export("--sink", "csv") == (
        4,
        "",
        f"error: `{done.output}` was written by another version of olpipe\n"
        "hint: make the folder writable, or use the version of olpipe that wrote it\n",
    )


def test_a_damaged_ledger_is_named(done, export):
    done.ledger.write_bytes(b"junk" * 4096)
    code, _, said = export("--sink", "csv")
    assert code == 4
    assert said.startswith(f"error: the ledger in `{done.output}` is damaged: ")


def test_a_sink_is_needed(done, export):
    code, _, said = export()
    assert code == 2
    assert "`--sink`" in said
