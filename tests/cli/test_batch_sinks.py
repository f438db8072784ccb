"""`olpipe batch --sink …`: records go to any number of targets, each whole, whatever happens in between."""

import contextlib
import csv
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olpipe.testing.install import install_plugin

TEMPLATE = Path(__file__).parents[2] / "plugins" / "olpipe-template" / "src"

# A plugin whose sinks write down what they are told, and fail where they are told to.
SPY = """
import json, os
from dataclasses import asdict
from pathlib import Path

from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.hookspecs import hookimpl

class Spy(JsonlSinkFactory):
    scheme, usual_target = "spy", "spied.jsonl"

    def accepts(self, schema):
        note("accepts", schema)
        if os.environ.get("SPY_RAISES") == "accepts":
            raise KeyError("no schema for me")
        return os.environ.get("SPY_REFUSES")

    def open(self, target, run):
        note("open", {"target": target, **asdict(run)})
        if os.environ.get("SPY_RAISES") == "open":
            raise PermissionError(13, "Permission denied")
        sink = super().open(target, run)
        if os.environ.get("SPY_RAISES") == "write":
            sink.write = lambda row: 1 / 0
        return sink

def note(what, value):
    with Path(os.environ["SPY_NOTES"]).open("a") as file:
        file.write(json.dumps([what, value], default=str) + "\\n")

@hookimpl
def register_sinks():
    return [Spy()]
"""

# A plugin that ends its process, as `kill -9` does, when the sinks do something for the n-th time.
DEADLY = """
import os, signal
from olpipe.default_plugins.sinks.csv import CsvSink
from olpipe.default_plugins.sinks.jsonl import JsonlSink

left = int(os.environ["DIE_AT"])

def deadly(act):
    def acting(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)
    return acting

for owner in (JsonlSink, CsvSink):
    for name in ("recover", "write", "flush", "close"):
        setattr(owner, name, deadly(getattr(owner, name)))
os.replace = deadly(os.replace)
"""


@pytest.fixture
def table(batch):
    """Return a function that reads a file of the sink `csv`."""

    def read(target="records.csv"):
        with open(batch.output / target, encoding="utf-8-sig", newline="") as lines:
            return list(csv.DictReader(lines))

    return read


@pytest.fixture
def notes(batch, plugin_folder, tmp_path, monkeypatch):
    """Install the sink `spy`, and return a function that reads what it was told."""
    (plugin_folder / "spying.py").write_text(SPY)
    install_plugin(plugin_folder, "spy", "spying")
    path = tmp_path / "notes"
    monkeypatch.setenv("SPY_NOTES", str(path))
    monkeypatch.delitem(sys.modules, "spying", raising=False)

    def read():
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return read


def files(rows):
    return [row["file"] for row in rows]


def test_records_go_to_all_sinks_and_failures_to_their_own_list(batch, table):
    batch.put("a.jpg", "b.jpg")
    batch.put("c.jpg", data=b"junk")
    code, said = batch.run("--sink", "jsonl", "--sink", "csv")
    assert (code, said.splitlines()) == (
        3,
        [
            "3 photos: 2 records, 1 failed",
            f"see {batch.output}/records.jsonl  {batch.output}/records.csv  {batch.output}/failures.jsonl"
            f"  {batch.output}/run.json  {batch.output}/index.html",
        ],
    )
    assert files(table()) == batch.files == ["a.jpg", "b.jpg"]
    assert [row["title"] for row in table()] == [record["title"] for record in batch.records]
    assert files(batch.failures) == ["c.jpg"]
    assert batch.report["sinks"] == ["jsonl:records.jsonl", "csv:records.csv"]


def outcomes(batch):
    """Return how many outcomes the ledger holds, read as a bystander would after the run's death."""
    if not batch.ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(batch.ledger)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'outcomes'").fetchone()[0]
        return connection.execute("SELECT count(*) FROM outcomes").fetchone()[0] if tables else 0


@pytest.mark.slow
def test_killed_at_random_moments_every_target_ends_up_with_every_photo_once(batch, table):
    batch.model(delay_s=0.1)
    names = [f"{number:02}.jpg" for number in range(14)]
    batch.put(*names)
    sinks = ("--sink", "jsonl", "--sink", "csv", "--sink", "csv:again/other.csv")
    moments = random.Random(9)
    longest_s = 1.5
    while outcomes(batch) < 7:
        before = outcomes(batch)
        with batch.start(*sinks, stderr=subprocess.DEVNULL) as process:
            time.sleep(moments.uniform(0.8, longest_s))
            process.kill()
        longest_s *= 1.0 if outcomes(batch) > before else 1.5  # a slow machine gets more time
        for target in ("records.csv", "again/other.csv"):
            path = batch.output / target
            whole = path.read_bytes().split(b"\r\n")[1:-1] if path.exists() else []
            assert len(whole) == len(set(whole))
    before = outcomes(batch)
    assert batch.run(*sinks)[0] == 0
    assert batch.report["photos"]["records_before"] == before
    assert files(table()) == files(table("again/other.csv")) == batch.files == names
    assert not list(batch.output.rglob("*.new"))


@pytest.mark.slow
def test_killed_at_any_call_of_a_sink_every_target_ends_up_with_every_photo_once(batch, table, plugin_folder):
    (plugin_folder / "deadly.py").write_text(DEADLY)
    install_plugin(plugin_folder, "deadly", "deadly")
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    sinks = ("--sink", "csv", "--sink", "jsonl")
    deaths = 0
    for step in (1, 3, 4, 5, 7, 9, 11, 13, 16):
        batch.put(*names[: 1 + step // 5])  # there is always something left to write
        with batch.start(*sinks, environment={"DIE_AT": str(step)}, stderr=subprocess.DEVNULL) as process:
            deaths += process.wait() == -signal.SIGKILL
    assert deaths >= 7
    shutil.rmtree(plugin_folder / "deadly-1.0.dist-info")
    assert batch.run(*sinks)[0] == 0
    assert files(table()) == batch.files == names


def test_a_sink_that_is_added_later_gets_everything_without_work(batch, table):
    batch.put("a.jpg", "b.jpg")
    batch.run()
    before = (batch.output / "records.jsonl").stat()
    batch.put("c.jpg", "d.jpg")
    batch.run()
    batch.model(crash_on_load=True)  # another model would be asked in vain
    batch.model()
    code, said = batch.run("--sink", "csv", "--sink", "jsonl")
    assert (code, said.splitlines()[0]) == (0, "4 photos: 4 records (0 new)")
    assert files(table()) == batch.files == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert batch.report["tokens"]["prompt_tokens"] == 0
    assert (batch.output / "records.jsonl").stat().st_ino == before.st_ino


def test_a_sink_that_was_left_out_for_a_while_catches_up(batch, table):
    batch.put("a.jpg")
    batch.run("--sink", "jsonl", "--sink", "csv")
    batch.put("b.jpg")
    batch.run()
    assert files(table()) == ["a.jpg"]
    batch.put("c.jpg")
    batch.run("--sink", "csv")
    assert files(table()) == ["a.jpg", "b.jpg", "c.jpg"]
    assert batch.files == ["a.jpg", "b.jpg"]


def test_rows_that_are_no_longer_true_leave_every_target(batch, table):
    batch.put("a.jpg", "b.jpg", "c.jpg")
    sinks = ("--sink", "jsonl", "--sink", "csv")
    batch.run(*sinks)
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    batch.put("b.jpg", data=(batch.photos / "b.jpg").read_bytes() + b"more")
    batch.run(*sinks)
    assert sorted(files(table())) == sorted(batch.files) == ["b.jpg", "c.jpg", "z.jpg"]


def test_only_what_is_asked_for_is_written(batch, table):
    batch.put("a.jpg")
    code, said = batch.run("--sink", "csv:tables/photos.csv")
    assert code == 0
    assert f"see {batch.output}/tables/photos.csv  {batch.output}/run.json  {batch.output}/index.html\n" in said
    assert files(table("tables/photos.csv")) == ["a.jpg"]
    assert sorted(path.name for path in batch.output.iterdir()) == [
        *(".olpipe", "failures.jsonl", "index.html", "index_files", "run.json", "tables")
    ]


def test_a_recipe_may_say_where_records_go_and_options_overrule_it(batch, table, tmp_path):
    batch.put("a.jpg")
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntask = "data"\nmodel = "echo"\nprompt = "p"\nsinks = ["csv:own.csv"]\nexecutor = "local"\n'
        '[schema]\nrequired = ["n"]\n[schema.properties.n]\nconst = 1\n'
    )
    batch.run("--recipe", path)
    assert [row["data.n"] for row in table("own.csv")] == ["1"]
    assert (batch.report["executor"], batch.report["sinks"]) == ("local", ["csv:own.csv"])
    assert not (batch.output / "records.jsonl").exists()
    batch.run("--recipe", path, "--sink", "jsonl")
    assert batch.files == ["a.jpg"]


def test_an_absolute_target_lies_where_it_says(batch, table, tmp_path):
    batch.put("a.jpg")
    target = tmp_path / "elsewhere.csv"
    code, said = batch.run("--sink", f"csv:{target}")
    assert code == 0
    assert f"see {target}  " in said
    assert files(table(target)) == ["a.jpg"]


def test_a_sink_is_told_all_about_the_run(batch, notes):
    batch.put("sub/a.jpg")
    batch.run("--sink", "spy", "--sink", "spy:other.jsonl")
    told = {what: value for what, value in notes() if what == "accepts" or value["target"] == "spied.jsonl"}
    assert list(told["accepts"]["properties"]) == ["tags", "title", "description", "alt", "objects"]
    assert told["open"] == {
        "target": "spied.jsonl",
        "root": str(batch.photos),
        "output": str(batch.output),
        "schema": told["accepts"],
        "recipe": "photo-tags",
        "recipe_key": batch.report["recipe"]["key"],
        "model": "echo:latest",
        "model_digest": batch.report["model"]["digest"],
        "language": "en",
    }
    spied = (batch.output / "spied.jsonl").read_text()
    assert [json.loads(line)["file"] for line in spied.splitlines()] == ["sub/a.jpg"]
    assert (batch.output / "other.jsonl").read_text() == spied


def test_a_sink_that_cannot_take_the_records_stops_the_run_before_anything_is_opened(batch, notes, monkeypatch):
    batch.put("a.jpg")
    monkeypatch.setenv("SPY_REFUSES", "it likes no photos")
    assert batch.run("--sink", "jsonl", "--sink", "spy") == (
        2,
        "error: the sink `spy` cannot take the records of this recipe: it likes no photos\n"
        "hint: change the recipe's schema, or leave the sink out\n",
    )
    assert [what for what, _ in notes()] == ["accepts"]
    assert not batch.output.exists()


def test_a_run_that_is_refused_changes_nothing_of_an_earlier_one(batch, plugin_folder, monkeypatch):
    monkeypatch.syspath_prepend(TEMPLATE)
    install_plugin(plugin_folder, "template", "olpipe_template")
    batch.put("a.jpg")
    batch.run()
    before = {path: path.read_bytes() for path in batch.output.rglob("*") if path.is_file()}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    code, said = batch.run("--sink", "jsonl", "--sink", "tsv", "--schema", json.dumps(schema))
    assert (code, said.splitlines()[0]) == (
        2,
        "error: the sink `tsv` cannot take the records of this recipe: `n` may be missing from a record, and every line"
        " of a TSV file has the same columns",
    )
    assert {path: path.read_bytes() for path in batch.output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("sinks", "message", "hint"),
    [
        (("csw",), "no sink is called `csw`", "did you mean `csv`?"),
        (
            ("jsonl", "jsonl"),
            "`jsonl:records.jsonl` and `jsonl:records.jsonl` go to the same target",
            "give each a target of its own, like `jsonl:TARGET`",
        ),
        (
            ("jsonl", "csv:./records.jsonl"),
            "`jsonl:records.jsonl` and `csv:./records.jsonl` go to the same target",
            "give each a target of its own, like `csv:TARGET`",
        ),
        (
            ("csv:failures.jsonl",),
            "`failures.jsonl` is where photos are listed that could not be described",
            "name another target: `csv:TARGET`",
        ),
        (("jsonl:x/../run.json",), "`x/../run.json` is the report of the run", "name another target: `jsonl:TARGET`"),
        (
            ("csv:.olpipe/ledger.sqlite",),
            "`.olpipe/ledger.sqlite` is where the ledger lies",
            "name another target: `csv:TARGET`",
        ),
    ],
)
def test_sinks_that_cannot_be_used_are_one_line(batch, table, sinks, message, hint):
    batch.put("a.jpg")
    code, said = batch.run(*(word for sink in sinks for word in ("--sink", sink)))
    assert code == 2
    lines = said.splitlines()
    assert lines[0].startswith(f"error: {message}")
    assert lines[1].startswith(f"hint: {hint}")
    assert not batch.output.exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--executor", "loca"), "error: no executor is called `loca`\nhint: did you mean `local`?\n"),
        (("--backend", "ecko"), "error: no backend is called `ecko`\nhint: did you mean `echo`?\n"),
        (
            ("--perceivers", "photo-mimi"),
            "error: no perceiver is called `photo-mimi`\nhint: did you mean `photo-mini`?\n",
        ),
    ],
)
def test_names_that_nothing_has_are_one_line_before_anything_is_opened(batch, option, message):
    batch.put("a.jpg")
    assert batch.run(*option) == (2, message)
    assert not batch.output.exists()


@pytest.mark.parametrize(
    ("when", "code", "message"),
    [
        ("accepts", 1, "error: the sink `spy` of the plugin `spy` failed: KeyError: 'no schema for me'"),
        ("open", 4, "error: `{output}` cannot be written: Permission denied"),
        ("write", 1, "error: the sink `spy` of the plugin `spy` failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_sink_that_fails_is_one_line_with_its_name_and_the_others_get_their_records(
    batch, notes, monkeypatch, when, code, message
):
    batch.put("a.jpg")
    monkeypatch.setenv("SPY_RAISES", when)
    found, said = batch.run("--sink", "spy", "--sink", "jsonl")
    assert (found, said.splitlines()[0]) == (code, message.format(output=batch.output))
    assert len(said.splitlines()) == 2
    if when == "write":
        assert batch.files == ["a.jpg"]
        assert batch.report["status"] == "stopped"
    monkeypatch.delenv("SPY_RAISES")
    assert batch.run("--sink", "spy", "--sink", "jsonl")[0] == 0
    assert batch.files == ["a.jpg"]
    assert (batch.output / "spied.jsonl").read_bytes() == (batch.output / "records.jsonl").read_bytes()


def test_an_absolute_target_that_cannot_be_written_is_named(batch, table, tmp_path):
    batch.put("a.jpg")
    (tmp_path / "a-file").write_bytes(b"")
    code, said = batch.run("--sink", f"csv:{tmp_path}/a-file/records.csv")
    assert code == 4
    assert said.startswith(f"error: `{tmp_path}/a-file/records.csv` cannot be written: ")
    assert said.endswith("hint: name another target: `csv:TARGET`\n")
