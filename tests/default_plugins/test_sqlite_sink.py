"""The sink `sqlite`, read with Python's own SQLite."""

import json
import sqlite3
from contextlib import closing

import pytest

from olpipe.default_plugins.sinks.sqlite import SqliteSinkFactory
from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts import SinkContract
from olpipe.testing.contracts.sinks import ROWS, opened, run_info

CHINESE = {"file": "猫.jpg", "title": "窗台上的猫", "tags": ["猫咪", "窗台"], "description": "一只猫坐在窗台上。"}


class TestSqliteSink(SinkContract):
    @pytest.fixture
    def factory(self):
        return SqliteSinkFactory()

    def read(self, target):
        return [file for (file,) in ask(target, "select file from records order by number")]


def ask(target, question, *values):
    try:
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as database:
            return database.execute(question, values).fetchall()
    except sqlite3.OperationalError:
        return []


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "records.sqlite")


def write(target, tmp_path, *rows, position=0):
    with opened(SqliteSinkFactory(), target, run_info(tmp_path), position) as sink:
        for row in rows:
            sink.write(row)
        return sink.flush()


def test_a_record_is_there_whole(target, tmp_path):
    write(target, tmp_path, *ROWS)
    assert [json.loads(record) for (record,) in ask(target, "select record from records order by number")] == list(ROWS)
    assert ask(target, "select title, tags from records where file = 'one.jpg'") == [("line\none 图", 'a, b; "c"')]


@pytest.mark.parametrize(("words", "found"), [("窗台上", ["猫.jpg"]), ("two", ["two.jpg"]), ("elephant", [])])
def test_photos_are_found_by_their_words(target, tmp_path, words, found):
    write(target, tmp_path, *ROWS, CHINESE)
    question = "select file from words where words match ?"
    assert [file for (file,) in ask(target, question, f'"{words}"')] == found


@pytest.mark.parametrize("words", ["PARKING", "营业时间"])
def test_photos_are_found_by_the_words_that_were_read_in_them(target, tmp_path, words):
    read = [{"text": "NO PARKING", "x": 1, "y": 1, "w": 9, "h": 9, "score": 0.9}, {"text": "营业时间", "score": 0.9}]
    write(target, tmp_path, *ROWS, {"file": "sign.jpg", "text": read})
    assert ask(target, "select file, text from words where words match ?", f'"{words}"') == [
        ("sign.jpg", "NO PARKING\n营业时间")
    ]


def test_a_database_without_a_column_for_words_that_were_read_is_written_anew(target, tmp_path):
    position = write(target, tmp_path, ROWS[0])
    with closing(sqlite3.connect(target)) as database:
        for trigger in ("insert", "delete", "update"):
            database.execute(f"drop trigger records_{trigger}")
        database.execute("alter table records drop column text")
        database.commit()
    sink = SqliteSinkFactory().open(target, run_info(tmp_path))
    assert sink.recover(position) is False
    assert sink.keep(["one.jpg"]) is False
    assert sink.recover(0)
    sink.write(ROWS[0])
    sink.flush()
    sink.close()
    assert ask(target, "select file, text from records") == [("one.jpg", None)]


def test_words_of_rows_that_were_dropped_are_not_found(target, tmp_path):
    first = write(target, tmp_path, ROWS[0])
    write(target, tmp_path, ROWS[1], position=first)
    write(target, tmp_path, ROWS[2], position=first)
    assert ask(target, "select file from words where words match 'two'") == []
    assert ask(target, "select file from words where words match 'three'") == [("three.jpg",)]


def test_a_text_corrected_by_hand_stays_and_is_found(target, tmp_path):
    position = write(target, tmp_path, *ROWS[:2])
    with closing(sqlite3.connect(target)) as database:
        database.execute("update records set title = 'Grandmother', record = '{\"file\":\"one.jpg\"}' where number = 1")
        database.commit()
    sink = SqliteSinkFactory().open(target, run_info(tmp_path))
    assert sink.recover(position) is False
    assert sink.keep(["one.jpg", "two.jpg"])
    sink.write(ROWS[2])
    sink.flush()
    sink.close()
    assert ask(target, "select file from words where words match 'Grandmother'") == [("one.jpg",)]
    assert [file for (file,) in ask(target, "select file from records order by number")] == [
        "one.jpg",
        "two.jpg",
        "three.jpg",
    ]


@pytest.mark.parametrize("application", [0, 7])
def test_a_database_of_another_program_is_not_replaced(target, tmp_path, application):
    with closing(sqlite3.connect(target)) as database:
        database.execute(f"pragma application_id = {application}")
        database.execute("create table notes(text)")
        database.commit()
    with pytest.raises(OutputUnavailable, match="is not replaced"):
        SqliteSinkFactory().open(target, run_info(tmp_path)).recover(0)
    assert ask(target, "select name from sqlite_master") == [("notes",)]
