"""`olpipe search --in`: photos of a batch are found by words in their records, and nothing is changed."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olpipe.cli.main import main
from olpipe.generation import Usage
from olpipe.image import Box, ImageRef
from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import FAILURE, LEDGER_PATH, VERSION, Ledger, TargetState
from olpipe.pipeline.ledger_reader import LedgerReader
from olpipe.pipeline.search import search_records
from olpipe.record import Failure, FailureKind, ImageInfo, ReadText, Record

FAILURES = "jsonl:failures.jsonl"
INFO = ImageInfo(4, 3, 1, "JPEG")


class Album:
    """The output folder of batches whose photos are gone."""

    def __init__(self, output):
        self.output = output
        self.ledger = output / LEDGER_PATH

    def add(self, name, /, *, key="k1", read=(), **values):
        """Do what a run does with one photo."""
        texts = tuple(ReadText(text, 0.9, Box(1, 1, 2, 2)) for text in read)
        record = Record(
            name, name, INFO, values, "m:latest", "sha256:0", "sure-thing", Usage(), False, texts=texts
        )  # fmt: skip
        self.commit(record, key)

    def fail(self, name, message):
        self.commit(Failure(name, name, FailureKind.REFUSED, message), "k1")

    def commit(self, outcome, key):
        with Ledger(self.output) as ledger:
            ledger.begin(key, {FAILURES: FAILURE})
            run = RunInfo(self.output.parent, self.output, {}, "sure-thing", key, "m:latest", "sha256:0")
            remember_run(ledger, run)
            ledger.commit(outcome, [ImageRef(self.output.parent / outcome.file, outcome.file, 1, 1)])
            ledger.advance(FAILURES, TargetState(ledger.value("SELECT max(seq) FROM rows"), 1))


@pytest.fixture
def album(tmp_path):
    return Album(tmp_path / "out")


@pytest.fixture
def photos(album):
    album.add("trip/red.jpg", title="A bus", description="Beside it sits a cat.", tags=["bus", "street"])
    album.add("pets.jpg", title="Two cats", tags=["cat", "sofa"], alt="Two cats on a sofa.")
    album.add("sign.jpg", read=["NO PARKING", "营业时间"], tags=["street sign"], alt="A sign.")
    album.add("thing.jpg", objects=[{"type": "cattle", "tags": ["ox"], "x": 1, "y": 1, "w": 2, "h": 2}])
    album.add("Café.jpg", title="窗台上的猫", tags=["猫"], description="STRASSE")
    album.add("own.jpg", data={"title": "Invoice", "lines": [{"what": "a Jack Russell"}], "tags": ["paper"]})
    album.fail("cat-broken.jpg", "the cat is damaged")
    return album


@pytest.fixture
def search(album, capsys):
    """Return a function that runs the command; it returns the exit code, stdout and stderr."""

    def run(*arguments, output=album.output):
        with pytest.raises(SystemExit) as ended:
            main(["search", *map(str, arguments), "--in", str(output)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def files(out):
    return [record["file"] for record in json.loads(out)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["bus"], ["trip/red.jpg"]),
        (["BESIDE"], ["trip/red.jpg"]),
        (["parking"], ["sign.jpg"]),
        (["no parking"], ["sign.jpg"]),
        (["营业"], ["sign.jpg"]),
        (["猫"], ["Café.jpg"]),
        (["窗台上", "猫"], ["Café.jpg"]),
        (["cattle"], ["thing.jpg"]),
        (["ox"], ["thing.jpg"]),
        (["trip/"], ["trip/red.jpg"]),
        (["cafe"], ["Café.jpg"]),
        (["CAFÉ"], ["Café.jpg"]),
        (["straße"], ["Café.jpg"]),
        (["invoice", "russell"], ["own.jpg"]),
        (["street", "sign"], ["sign.jpg"]),
    ],
)
def test_every_word_has_to_be_somewhere_in_a_record(photos, search, words, found):
    code, out, said = search(*words, "--json")
    assert (code, files(out), said) == (0, found, "")


@pytest.mark.parametrize(
    "word", ["sure-thing", "m:latest", "px", "truncated", "jpeg", "damaged", "alt", "sofa\ncat", '"']
)
def test_what_nobody_would_search_for_is_not_found(photos, search, word):
    assert search(word) == (1, "", f"no record in `{photos.output}` has `{word}`\n")


def test_a_word_with_signs_that_json_writes_otherwise_is_found(album, search):
    album.add("a.jpg", description='It says "5 \\ 7".')
    album.add("b.jpg", description="It says 5 7.")
    assert files(search('"5 \\', "--json")[1]) == ["a.jpg"]
    assert files(search("“5", "--json")[1]) == [] != files(search("5", "--json")[1])


def test_a_whole_tag_comes_first_then_titles_then_objects_and_then_other_texts(photos, search):
    assert files(search("cat", "--json")[1]) == ["pets.jpg", "thing.jpg", "trip/red.jpg"]
    photos.add("title.jpg", title="A cat")
    photos.add("read.jpg", read=["CAT"])
    assert files(search("cat", "--json")[1]) == ["pets.jpg", "title.jpg", "read.jpg", "thing.jpg", "trip/red.jpg"]


def test_what_people_corrected_is_found_and_shown_and_what_they_replaced_is_not(photos, search):
    with Ledger(photos.output) as ledger:
        ledger.begin("k1", {})
        ledger.reviews.correct("pets.jpg", "title", "Two lynxes")
        ledger.reviews.reject("sign.jpg")
    assert files(search("lynxes", "--json")[1]) == ["pets.jpg"]
    assert search("two", "cats", "sofa", "--json")[0] == 0  # they still stand in the alternative text
    (found,) = json.loads(search("lynxes", "--json")[1])
    assert (found["title"], found["review"]) == ("Two lynxes", "edited")
    (found,) = json.loads(search("parking", "--json")[1])
    assert found["review"] == "rejected"


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["cat", "a cat", "cattle", "dog", ""]), max_size=12), st.integers(1, 4))
def test_the_limit_leaves_out_none_that_fits_better(tmp_path_factory, texts, limit):
    album = Album(tmp_path_factory.mktemp("limits") / "out")
    album.add("none.jpg")
    for number, text in enumerate(texts):
        album.add(f"{number:02}.jpg", **({"tags": [text]} if number % 2 else {"title": text, "alt": "cat"}))
    with LedgerReader(album.output) as reader:
        everything = search_records(reader, album.output, ["cat"], limit=100)
        some = search_records(reader, album.output, ["cat"], limit=limit)
        whole = [record["file"] for record in everything.records]
        assert [record["file"] for record in some.records] == whole[:limit]
        assert some.has_more == (len(whole) > limit)


def test_the_list_shows_the_file_the_title_and_the_tags(photos, search):
    code, out, said = search("sign")
    assert (code, said) == (0, "")
    assert [line.split("    ") for line in out.splitlines()][1:] == [["sign.jpg", "A sign.", "street sign"]]
    assert out.splitlines()[0].split() == ["FILE", "TITLE", "TAGS"]
    assert search("invoice")[1].split() == ["FILE", "TITLE", "TAGS", "own.jpg", "Invoice", "paper"]


def test_a_record_cannot_command_the_terminal(album, search):
    album.add("a.jpg", title="cat\x1b[2J\nline", tags=["\x9bm"])
    assert search("cat")[1].splitlines()[1].split("    ") == ["a.jpg", "cat␛[2J line", "\ufffdm"]


def test_json_has_the_whole_records(photos, search):
    (record,) = json.loads(search("parking", "--json")[1])
    assert record["text"][0] == {"text": "NO PARKING", "x": 1, "y": 1, "w": 2, "h": 2, "score": 0.9}
    assert (record["file"], record["model"], record["alt"]) == ("sign.jpg", "m:latest", "A sign.")
    assert search("zebra", "--json") == (1, "[]\n", f"no record in `{photos.output}` has `zebra`\n")


def test_the_best_are_shown_where_there_are_more_than_the_limit(photos, search):
    code, out, said = search("cat", "--json", "--limit", 1)
    assert (code, files(out)) == (0, ["pets.jpg"])
    assert said == "there are more photos than the best 1: `--limit` shows more\n"
    assert search("cat", "--json", "--limit", 3)[2] == ""
    assert len(files(search("cat", "--json", "--limit", 1000)[1])) == 3


def test_the_records_are_those_of_the_recipe_that_ran_last_under_their_names_of_now(photos, search):
    photos.add("new.jpg", key="k2", tags=["cat"])
    assert files(search("cat", "--json")[1]) == ["new.jpg"]
    with Ledger(photos.output) as ledger:
        ledger.run("UPDATE photos SET name = 'moved.jpg' WHERE name = 'new.jpg'")
    assert files(search("moved", "--json")[1]) == ["moved.jpg"]
    assert search("new")[0] == 1


def test_a_search_changes_nothing(photos, search):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.ledger.parent.iterdir()}
    assert search("cat")[0] == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.ledger.parent.iterdir()} == before


KILLED = """
import os, sys
from pathlib import Path
from tests.cli.test_search_photos import Album
Ledger = __import__("olpipe.pipeline.ledger", fromlist=["Ledger"]).Ledger
Ledger.__exit__ = lambda *_: os._exit(9)
Album(Path(sys.argv[1])).add("late.jpg", tags=["cat"])
"""


def test_what_a_run_that_was_killed_has_done_is_found(photos, search):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(photos.output)], env=environment, check=False)
    assert ended.returncode == 9
    assert photos.ledger.with_name("ledger.sqlite-wal").stat().st_size
    assert files(search("late", "--json")[1]) == ["late.jpg"]
    photos.add("next.jpg", tags=["cat"])
    assert {"late.jpg", "next.jpg"} <= set(files(search("cat", "--json")[1]))


def test_several_searches_at_once_do_not_disturb_each_other(photos, search):
    with closing(sqlite3.connect(photos.ledger)) as other:
        other.execute("SELECT count(*) FROM rows").fetchall()
        assert search("cat")[0] == 0


# --- nothing to search ----------------------------------------------------------------------------


def test_a_run_that_writes_there_is_told(photos, search):
    with Ledger(photos.output) as ledger, ledger.transaction():
        assert search("cat") == (4, "", f"error: a run is writing to `{photos.output}`\nhint: wait until it ends\n")


def test_a_folder_without_a_ledger_is_told_and_gets_none(search, tmp_path):
    hint = "hint: name the folder that `olpipe batch` wrote to\n"
    assert search("cat", output=tmp_path / "no") == (2, "", f"error: `{tmp_path}/no` is not there\n{hint}")
    (tmp_path / "empty").mkdir()
    code, _, said = search("cat", output=tmp_path / "empty")
    assert (code, said) == (2, f"error: `{tmp_path}/empty` holds no ledger of `olpipe batch`\n{hint}")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_batch_without_a_record_is_told(album, search):
    album.fail("a.jpg", "bad")
    code, _, said = search("cat")
    assert (code, said) == (2, f"error: `{album.output}` has no records yet\nhint: run `olpipe batch` first\n")


@pytest.mark.parametrize(
    ("version", "hint"),
    [(1, "run the same `olpipe batch` again"), (VERSION + 1, "use the version of olpipe that wrote it")],
)
def test_a_ledger_of_another_version_is_told(photos, search, version, hint):
    with closing(sqlite3.connect(photos.ledger)) as ledger:
        ledger.execute(f"PRAGMA user_version = {version}")
    code, _, said = search("cat")
    assert (code, said) == (4, f"error: `{photos.output}` was written by another version of olpipe\nhint: {hint}\n")


def test_a_damaged_ledger_is_told(photos, search):
    photos.ledger.write_bytes(b"no database at all" * 100)
    code, _, said = search("cat")
    assert code == 4
    assert said.startswith(f"error: the ledger in `{photos.output}` is damaged: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`--in` needs something to search for"),
        ([" "], "`--in` needs something to search for"),
        (["cat", "--hub"], "`--hub` is about models, and `--in` finds photos"),
        (["cat", "--fits"], "`--fits` is about models, and `--in` finds photos"),
    ],
)
def test_what_makes_no_sense_for_photos_is_refused(photos, search, arguments, message):
    code, out, said = search(*arguments)
    assert (code, out, said.splitlines()[0]) == (2, "", f"error: {message}")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_searched(photos, search):
    photos.ledger.parent.chmod(0o500)
    photos.ledger.chmod(0o400)
    try:
        assert files(search("bus", "--json")[1]) == ["trip/red.jpg"]
    finally:
        photos.ledger.parent.chmod(0o700)
