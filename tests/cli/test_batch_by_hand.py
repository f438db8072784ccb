"""Files in the output folder that somebody has changed, or that are somebody else's: nothing of them is lost."""

import json
import os
import re
from pathlib import Path

import pytest

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(batch):
    """Return every file of the output folder but the ledger's, with its bytes and when it was last written."""
    files = [path for path in batch.output.iterdir() if path.is_file()]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def done(batch):
    """Describe three photos, and return the file of their records."""
    batch.put(*NAMES)
    assert batch.run()[0] == 0
    return batch.output / "records.jsonl"


def edit(path, place, alt):
    """Give one record another alt text, as an editor does that replaces one text by another."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = re.sub(rb'"alt":"[^"]*"', b'"alt":"%s"' % alt.encode(), lines[place])
    path.write_bytes(b"".join(lines))


def other_text(path, place, length):
    old = rows(path)[place]["alt"]
    return {"longer": old + " And its whiskers are white.", "shorter": "Tom.", "as long": "Q" * len(old)}[length]


@pytest.mark.examples(1)
@pytest.mark.parametrize(
    ("place", "length", "more"), [(0, "longer", True), (1, "shorter", True), (2, "as long", False)]
)
def test_a_text_corrected_by_hand_stays_and_new_records_follow_it(batch, done, place, length, more):
    text = other_text(done, place, length)
    edit(done, place, text)
    corrected = done.read_bytes()
    new = ["d.jpg"] if more else []
    batch.put(*new)
    code, said = batch.run()
    assert code == 0
    assert said.splitlines()[0] == (
        f"warning: `{done}` was changed by hand: its rows stay as they are, and new rows follow them"
    )
    assert done.read_bytes().startswith(corrected)
    assert batch.files == NAMES + new
    assert batch.records[place]["alt"] == text
    assert sorted(path.name for path in batch.output.iterdir() if path.is_file()) == [
        "failures.jsonl",
        "index.html",
        "records.jsonl",
        "run.json",
    ]
    # It is told once
    batch.put("e.jpg")
    assert "by hand" not in batch.run()[1]
    assert batch.files == [*NAMES, *new, "e.jpg"]
    assert batch.records[place]["alt"] == text


@pytest.mark.parametrize("why", ["a photo was renamed", "another recipe"])
def test_a_corrected_file_is_kept_beside_the_new_one_when_its_rows_are_no_longer_true(batch, done, why):
    edit(done, 1, "My own words.")
    batch.put("d.jpg")
    batch.run()
    corrected = done.read_bytes()
    if why == "another recipe":
        code, said = batch.run("--prompt", "Say it otherwise, please.")
    else:
        (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
        code, said = batch.run()
    assert code == 0
    assert f"warning: `{done}` was not as the last run left it: what it held is kept as `records.jsonl.1`\n" in said
    assert (batch.output / "records.jsonl.1").read_bytes() == corrected
    assert "My own words." not in done.read_text(encoding="utf-8")
    assert len(batch.records) == 4


def test_a_file_without_exactly_its_rows_is_written_anew_and_kept(batch, done):
    whole = done.read_bytes()
    changed = whole.split(b"\n", 1)[1]
    for name in ("records.jsonl.1", "records.jsonl.2"):
        done.write_bytes(changed)
        code, said = batch.run()
        line = f"warning: `{done}` was not as the last run left it: what it held is kept as `{name}`"
        assert (code, said.splitlines()[0]) == (0, line)
        assert done.read_bytes() == whole
        assert (batch.output / name).read_bytes() == changed


def test_a_file_that_nobody_has_changed_is_replaced_without_a_word(batch, done):
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    assert "records.jsonl.1" not in batch.run()[1]
    batch.run("--prompt", "Say it otherwise, please.")
    batch.run()
    assert list(batch.output.glob("*.1")) == []


def test_failures_corrected_by_hand_stay_too(batch):
    batch.put("bad.jpg", data=b"junk")
    batch.put("a.jpg")
    batch.run()
    path = batch.output / "failures.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind":"', b'"note":"ask Ann","kind":"'))
    code, said = batch.run()
    assert code == 3
    assert f"`{path}` was changed by hand" in said
    assert batch.failures[0]["note"] == "ask Ann"


def test_a_table_corrected_by_hand_stays_too(batch):
    batch.put(*NAMES)
    batch.run("--sink", "csv")
    path = batch.output / "records.csv"
    path.write_bytes(path.read_bytes().replace(b"b.jpg,", b"b.jpg,Mine: ", 1))
    corrected = path.read_bytes()
    batch.put("d.jpg")
    assert "was changed by hand" in batch.run("--sink", "csv")[1]
    assert path.read_bytes().startswith(corrected)
    assert path.read_bytes().count(b"\r\n") == 5


# --- files of somebody else ---------------------------------------------------------------------


@pytest.mark.examples(2)
@pytest.mark.parametrize("before", ["a new folder", "a folder with records"])
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("records.jsonl", "holds something else than rows, and is not replaced", "name another target: `jsonl:TARGET`"),
        ("failures.jsonl", "holds something else than rows, and is not replaced", "give another folder with `-o`"),
        ("run.json", "is no report of a run, and is not replaced", "give another folder with `-o`"),
    ],
)
def test_a_file_of_somebody_else_stops_the_run_before_anything_is_written(batch, name, message, hint, before):
    batch.put("a.jpg")
    if before == "a folder with records":
        batch.run()
        batch.put("b.jpg")
    path = batch.output / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"mine": 1}\n')
    held = contents(batch)
    assert batch.run() == (4, f"error: `{path}` {message}\nhint: move it away, or {hint}\n")
    assert contents(batch) == held
    path.unlink()
    assert batch.run()[0] == 0


@pytest.mark.parametrize("name", ["records.jsonl", "failures.jsonl"])
def test_rows_that_this_folder_does_not_know_are_kept(batch, name):
    batch.put("a.jpg")
    batch.output.mkdir()
    path = batch.output / name
    path.write_text('{"file":"old.jpg","alt":"From another program."}\n')
    code, said = batch.run()
    assert (code, said.splitlines()[0]) == (
        0,
        f"warning: `{path}` was not as the last run left it: what it held is kept as `{name}.1`",
    )
    assert rows(batch.output / f"{name}.1") == [{"file": "old.jpg", "alt": "From another program."}]
    assert batch.files == ["a.jpg"]


@pytest.mark.examples(1)
@pytest.mark.parametrize("data", [b"", b"\0" * 300, b'{\n  "sta', b'{\n  "status": "complete",\n  "photos": {'])
def test_what_a_power_cut_left_of_a_report_is_replaced(batch, done, data):
    (batch.output / "run.json").write_bytes(data)
    assert batch.run()[0] == 0
    assert batch.report["status"] == "complete"


# --- commands that fail after a good run --------------------------------------------------------

PROPERTY = 'name = "x"\ntask = "photo"\nmodel = "echo"\nprompt = "p"\n[schema.properties.colour]\ntype = "string"\n'


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--recipe", "own.toml"), 2),
        (("--perceivers", "nobody"), 2),
        (("--schema", '{"type": 5}'), 2),
        (("--model", "nobody"), 1),
        (("--prompt", "Otherwise.", "--model", "crashing"), 4),
        (("--prompt", "Otherwise.", "--executor", "nobody"), 2),
        (("--prompt", "Otherwise.", "--sink", "nobody"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_that_fails_leaves_every_file_as_it_was(batch, done, options, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(PROPERTY)
    edit(done, 1, "My own words.")
    if "crashing" in options:
        batch.model(crash_on_load=True)
        options = options[:2]
    held = contents(batch)
    found, said = batch.run(*options)
    assert found == code
    assert "recipe or the model changed" not in said
    assert contents(batch) == held
    # The old command goes on as if nothing had happened
    batch.model()
    batch.put("d.jpg")
    assert batch.run()[0] == 0
    assert done.read_bytes().startswith(held["records.jsonl"][0])
    assert batch.files == [*NAMES, "d.jpg"]


def test_new_files_of_a_run_that_fails_do_not_stay(batch, done):
    batch.model(crash_on_load=True)
    batch.run("--prompt", "Otherwise.")
    assert [name for name in os.listdir(batch.output) if name.endswith(".new")] == []
