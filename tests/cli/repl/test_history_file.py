"""The file with what was typed."""

import json

from olpipe.cli.repl.history import LONGEST, MOST, HistoryFile


def test_entries_of_several_lines_come_back_in_order(tmp_path):
    history = HistoryFile(tmp_path / "home/history.jsonl")
    assert history.read() == []
    history.add("one\ntwo")
    history.add("照片")
    assert history.read() == ["one\ntwo", "照片"]


def test_lines_that_cannot_be_read_are_left_out(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'"one"\n\xff\n{}\n"two"\n"cut')
    assert HistoryFile(path).read() == ["one", "two"]


def test_the_file_does_not_grow_for_ever(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("".join(f"{json.dumps(str(number))}\n" for number in range(2 * MOST + 1)))
    history = HistoryFile(path)
    assert history.read() == [str(number) for number in range(MOST + 1, 2 * MOST + 1)]
    assert len(path.read_text().splitlines()) == MOST
    history.add("next")
    assert history.read()[-1] == "next"
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_text_that_was_pasted_is_not_kept_where_it_is_huge(tmp_path):
    history = HistoryFile(tmp_path / "history.jsonl")
    history.add("x" * (LONGEST + 1))
    history.add("x" * LONGEST)
    assert [len(entry) for entry in history.read()] == [LONGEST]
