"""`olpipe review` in a process of its own: what is kept, and what the sinks have afterwards."""

import csv
import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from olpipe.cli.main import main
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.output import REVIEW_PATH
from tests.reviewing.albums import Reviewing
from tests.reviewing.conftest import ALL_SINKS

NAMES = ["cat.jpg", "dog.jpg", "street.jpg", "sub/copy.jpg"]
REVIEWS = {"cat.jpg": "edited", "dog.jpg": "rejected", "street.jpg": "approved", "sub/copy.jpg": "edited"}


@pytest.fixture
def command(capsys):
    """Return a function that runs the command line; it returns the exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def review_all(reviewing):
    reviewing.change("cat.jpg", corrections={"title": "My cat", "tags": ["cat", "sofa"]})
    reviewing.change("dog.jpg", verdict="rejected")
    reviewing.change("street.jpg", verdict="approved")


def held(album, sink):
    """Return `title`, `tags` and `review` of each photo that a sink holds, after checking that none is there twice."""
    if sink == "jsonl":
        rows = list(album.records().values())
    elif sink == "csv":
        with open(album.output / "records.csv", encoding="utf-8-sig", newline="") as lines:
            rows = [{**row, "tags": row["tags"].split("; ")} for row in csv.DictReader(lines)]
    elif sink == "sidecar":
        rows = [json.loads(path.read_bytes()) for path in (album.output / "sidecars").rglob("*.json")]
    else:
        with closing(sqlite3.connect(album.output / "records.sqlite")) as database:
            rows = [json.loads(text) for (text,) in database.execute("SELECT record FROM records")]
            titles = dict(database.execute("SELECT file, title FROM records").fetchall())
            assert titles == {row["file"]: row["title"] for row in rows}
            found = database.execute("SELECT file FROM words WHERE words MATCH 'My cat'").fetchall()
            assert len(found) == sum(row["title"] == "My cat" for row in rows)
    assert sorted(row["file"] for row in rows) == NAMES
    return {row["file"]: (row["title"], row["tags"], row.get("review") or None) for row in rows}


@pytest.mark.parametrize("sink", ALL_SINKS)
def test_every_sink_has_the_corrections_when_the_review_ends(reviewed, sink):
    assert held(reviewed, sink) == {
        "cat.jpg": ("My cat", ["cat", "sofa"], "edited"),
        "dog.jpg": ("A dog", ["dog", "photo"], "rejected"),
        "street.jpg": ("A street", ["street", "photo"], "approved"),
        "sub/copy.jpg": ("My cat", ["cat", "sofa"], "edited"),
    }


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    from tests.reviewing.albums import ReviewAlbum
    from tests.reviewing.conftest import filled

    album = filled(ReviewAlbum(tmp_path_factory.mktemp("reviewed")))
    album.batch(*ALL_SINKS)
    before = album.index.read_bytes()
    with Reviewing(album.output) as reviewing:
        review_all(reviewing)
        assert held(album, "jsonl")["cat.jpg"] == ("A cat", ["cat", "photo"], None)  # not yet
        code, said = reviewing.interrupt()
    assert code == 0
    assert "4 of 4 records reviewed: 1 approved (25% of those reviewed), 2 edited, 1 rejected" in said
    assert "brought up to date: " in said
    assert album.index.read_bytes() != before
    return album


def test_the_page_without_a_review_shows_what_people_did(reviewed):
    entries = {entry["file"]: entry for entry in reviewed.entries()}
    assert {name: entries[name]["review"] for name in NAMES} == REVIEWS
    assert entries["cat.jpg"]["values"]["title"] == "My cat"
    assert entries["cat.jpg"]["written"] == {"title": "A cat", "tags": ["cat", "photo"]}


def test_the_status_is_counted_without_a_server(reviewed, command):
    code, out, said = command("review", reviewed.output, "--status")
    assert (code, out) == (0, "")
    assert said == "4 of 4 records reviewed: 1 approved (25% of those reviewed), 2 edited, 1 rejected\n"
    code, out, said = command("review", reviewed.output, "--status", "--json")
    assert (code, said) == (0, "")
    assert json.loads(out) == {
        "output": str(reviewed.output), "recipe": "recipe-k1", "model": "m:latest", "records": 4, "reviewed": 4,
        "not_reviewed": 0, "approved": 1, "edited": 2, "rejected": 1, "approved_share": 0.25,
    }  # fmt: skip


def test_an_export_afterwards_has_the_corrections(reviewed, command):
    assert command("export", reviewed.output, "--sink", "jsonl:again.jsonl")[0] == 0
    assert reviewed.records("again.jsonl") == reviewed.records()
    assert {name: row["review"] for name, row in reviewed.records().items()} == REVIEWS


def test_what_was_changed_before_a_kill_is_there_and_the_next_export_writes_it(album, command):
    with Reviewing(album.output) as reviewing:
        review_all(reviewing)
        token = reviewing.token
        reviewing.kill()
    assert held(album, "csv")["cat.jpg"][0] == "A cat"
    assert command("export", album.output, *(f"--sink={sink}" for sink in ALL_SINKS))[0] == 0
    for sink in ALL_SINKS:
        assert {file: review for file, (_, _, review) in held(album, sink).items()} == REVIEWS
    assert not list(album.output.glob("records*.1"))
    with Reviewing(album.output) as again:
        entries = again.entries()
        assert {name: entries[name].get("review") for name in NAMES} == REVIEWS
        assert len(again.token) >= 32 and again.token != token


def test_a_file_changed_by_hand_is_kept_beside_the_new_one(album):
    path = album.output / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b"A street", b"By hand"))
    with Reviewing(album.output) as reviewing:
        reviewing.change("cat.jpg", corrections={"title": "My cat"})
        said = reviewing.interrupt()[1]
    assert "what it held is kept as `records.jsonl.1`" in said
    assert album.records()["cat.jpg"]["title"] == "My cat"
    assert album.records("records.jsonl.1")["street.jpg"]["title"] == "By hand"


def test_a_review_that_changes_nothing_writes_nothing(album):
    before = {
        path: path.read_bytes() for path in album.output.rglob("*") if path.is_file() and ".olpipe" not in str(path)
    }
    with Reviewing(album.output) as reviewing:
        said = reviewing.interrupt()[1]
    assert said.splitlines()[-1].startswith("0 of 4 records reviewed")
    after = {
        path: path.read_bytes() for path in album.output.rglob("*") if path.is_file() and ".olpipe" not in str(path)
    }
    assert after == before


def test_one_target_that_cannot_be_written_does_not_stop_the_others(album):
    (album.output / "records.csv").unlink()
    (album.output / "records.csv").mkdir()
    with Reviewing(album.output) as reviewing:
        reviewing.change("cat.jpg", corrections={"title": "My cat"})
        code, said = reviewing.interrupt()
    assert code == 4
    assert "`csv:records.csv` is not up to date" in said
    assert [held(album, sink)["cat.jpg"][0] for sink in ("jsonl", "sidecar", "sqlite")] == ["My cat"] * 3


def test_fields_are_changed_and_given_back_one_by_one(album):
    with Reviewing(album.output) as reviewing:
        status, answer = reviewing.change(
            "cat.jpg", corrections={"title": " My \n cat\x07 ", "alt": "", "tags": ["b", " b ", "", "c"]}
        )
        assert status == 200
        assert [entry["file"] for entry in answer["photos"]] == ["cat.jpg", "sub/copy.jpg"]
        values = answer["photos"][0]["values"]
        assert (values["title"], values["alt"], values["tags"]) == ("My cat", "", ["b", "c"])
        _, answer = reviewing.change("cat.jpg", corrections={"title": None, "alt": "A cat in a photo."})
        entry = answer["photos"][0]
        assert (entry["values"]["title"], entry["review"], list(entry["written"])) == ("A cat", "edited", ["tags"])
        _, answer = reviewing.change("cat.jpg", corrections={"tags": None})
        assert "review" not in answer["photos"][0] and "written" not in answer["photos"][0]
        assert answer["photos"][0]["values"]["tag_scores"] == [0.9, None]


def test_a_field_of_the_schema_can_be_written_where_the_model_left_it_out(album):
    with Reviewing(album.output) as reviewing:
        _, answer = reviewing.change("street.jpg", corrections={"description": "Two\nlines."})
        assert answer["photos"][0]["values"]["description"] == "Two\nlines."
        assert answer["photos"][0]["written"] == {"description": None}


def test_records_of_a_schema_of_ones_own_can_be_approved_and_not_corrected(tmp_path):
    from olpipe.testing.images import photo
    from tests.reviewing.albums import ReviewAlbum

    album = ReviewAlbum(tmp_path)
    album.add("a.jpg", photo(64, 48), data={"title": "Theirs"})
    album.batch(schema={"type": "object", "properties": {"title": {"type": "string"}}})
    with Reviewing(album.output) as reviewing:
        status, answer = reviewing.change("a.jpg", corrections={"title": "Mine"})
        assert (status, answer["error"]) == (400, "the records of the recipe `recipe-k1` have no field `title`")
        assert reviewing.change("a.jpg", verdict="approved")[1]["photos"][0]["review"] == "approved"


def test_a_page_is_served_where_the_batch_made_none(album):
    shutil.rmtree(album.output / "index_files")
    album.index.unlink()
    with Reviewing(album.output) as reviewing:
        thumbnail = reviewing.entries()["cat.jpg"]["thumbnail"]
        status, headers, data = reviewing.ask(f"index_files/.thumbnails/{thumbnail[:2]}/{thumbnail[2:]}.jpg")
        assert (status, headers["Content-Type"], data[:2]) == (200, "image/jpeg", b"\xff\xd8")
        assert b"Photos</h1>" in reviewing.ask("")[2]
        assert reviewing.interrupt()[0] == 0
    assert not album.index.exists()


# --- one command at a time -----------------------------------------------------------------------


def test_others_are_told_that_a_review_is_open(album, command):
    with Reviewing(album.output):
        busy = f"error: `{album.output}` is being reviewed by `olpipe review`\nhint: end that review with Ctrl-C"
        assert command("export", album.output, "--sink", "csv") == (4, "", f"{busy}\n")
        assert command("review", album.output, "--status") == (4, "", f"{busy}\n")
        code, _, said = command("batch", album.photos, "-o", album.output, "--model", "echo")
        assert (code, said) == (4, f"{busy}, or give another folder with `-o`\n")


def test_a_review_of_a_folder_in_which_a_batch_works_is_refused(album, command):
    with Ledger(album.output):
        error = f"error: another run is writing to `{album.output}`\nhint: wait until it ends\n"
        assert command("review", album.output) == (4, "", error)


def test_a_review_that_was_killed_is_not_taken_for_one_that_is_open(album, command):
    (album.output / REVIEW_PATH).write_text("99999999")  # no process has this number
    with Ledger(album.output):
        error = f"error: another run is writing to `{album.output}`\nhint: wait until it ends\n"
        assert command("review", album.output) == (4, "", error)


# --- what cannot be ------------------------------------------------------------------------------


def test_a_port_can_be_chosen_and_one_that_is_taken_is_named(album, command, tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert command("review", album.output, "--port", port) == (
            1,
            "",
            f"error: the address http://127.0.0.1:{port} is taken by another program\n"
            "hint: give another one with `--port`, or none to take one that is free\n",
        )
    with Reviewing(album.output, "--port", str(port)) as reviewing:
        assert reviewing.port == port


def test_a_folder_without_records_is_one_line(command, tmp_path):
    assert command("review", tmp_path / "nothing") == (
        2,
        "",
        f"error: `{tmp_path / 'nothing'}` is not there\nhint: name the folder that `olpipe batch` wrote to\n",
    )
    Ledger(tmp_path / "empty").__exit__(None, None, None)
    error = f"error: `{tmp_path / 'empty'}` has no records yet\nhint: run `olpipe batch` first\n"
    assert command("review", tmp_path / "empty", "--status") == (2, "", error)


def test_json_goes_with_the_status(album, command):
    code, _, said = command("review", album.output, "--json")
    assert code == 2
    assert "`--json` goes with `--status`" in said
