"""The sink `tsv`, read back line by line."""

import os
import re

import pytest

from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts import SinkContract
from olpipe.testing.contracts.sinks import run_info

MEANT = {r"\\": "\\", r"\t": "\t", r"\n": "\n", r"\r": "\r"}


@pytest.fixture
def factory():
    from olpipe_template.tsv_sink import TsvSinkFactory

    return TsvSinkFactory()


def cells_of(line):
    return [re.sub(r"\\.", lambda found: MEANT[found[0]], cell) for cell in line.split("\t")]


def rows_of(target):
    with open(target, encoding="utf-8", newline="\n") as lines:
        columns, *rows = (cells_of(line.removesuffix("\n")) for line in lines)
    return [dict(zip(columns, cells, strict=True)) for cells in rows]


class TestTsvSink(SinkContract):
    @pytest.fixture
    def factory(self, factory):
        return factory

    def read(self, target):
        return [row["file"] for row in rows_of(target)] if os.path.exists(target) else []


def write(factory, target, *rows):
    sink = factory.open(str(target), run_info(target.parent))
    assert sink.recover(0)
    try:
        for row in rows:
            sink.write(row)
        return sink.flush()
    finally:
        sink.close()


def test_cells_are_texts(factory, tmp_path):
    target = tmp_path / "records.tsv"
    row = {
        "file": "a, b.jpg",
        "tags": ["cat", "tabby"],
        "tag_scores": [0.9, None],
        "title": "Cat\nand\tmouse",
        "objects": [{"x": 1}],
        "truncated": False,
        "count": 3,
        "no": None,
    }
    write(factory, target, row)
    assert rows_of(target) == [
        {"file": "a, b.jpg", "tags": "cat; tabby", "tag_scores": "[0.9,null]", "title": "Cat\nand\tmouse"}
        | {"objects": '[{"x":1}]', "truncated": "false", "count": "3", "no": ""}
    ]
    assert target.read_bytes().count(b"\n") == 2


def test_a_record_with_an_unknown_column_is_an_error_and_not_lost_in_silence(factory, tmp_path):
    with pytest.raises(ValueError, match="the file has no column `more`"):
        write(factory, tmp_path / "records.tsv", {"file": "a"}, {"file": "b", "more": 1})


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_record_without_sentences_has_empty_cells_whether_it_comes_first_or_not(factory, tmp_path, first):
    target = tmp_path / "records.tsv"
    rows = [{"file": "a", "tags": [], "count": 1}, {"file": "b", "tags": ["cat"], "title": "Cat", "count": 2}]
    write(factory, target, *sorted(rows, key=lambda row: row["file"] != first))
    read = {row["file"]: row for row in rows_of(target)}
    assert read["a"]["title"] == ""
    assert read["b"] == {"file": "b", "tags": "cat", "title": "Cat", "count": "2"}


def test_an_answer_in_a_column_of_its_own_gets_no_columns_for_its_parts(factory, tmp_path):
    target = tmp_path / "records.tsv"
    write(factory, target, {"file": "a", "data": {"tags": ["cat"], "title": "Cat"}})
    assert rows_of(target) == [{"file": "a", "data": '{"tags":["cat"],"title":"Cat"}'}]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "properties": {"tags": {}}, "required": ["tags"]}, None),
        ({"type": "object", "properties": {"tags": {}, "alt": {}}, "required": ["tags"]}, "`alt` may be missing"),
    ],
)
def test_only_records_with_fixed_columns_are_accepted(factory, schema, reason):
    found = factory.accepts(schema)
    assert found is None if reason is None else found.startswith(reason)


def test_rows_before_recovery_are_a_bug_of_the_caller(factory, tmp_path):
    with pytest.raises(ValueError, match="`recover` comes before the first write"):
        factory.open(str(tmp_path / "x.tsv"), run_info(tmp_path)).write({"file": "a"})


def test_a_file_of_somebody_else_is_not_replaced(factory, tmp_path):
    target = tmp_path / "expenses.tsv"
    target.write_text("date\tamount\n")
    with pytest.raises(OutputUnavailable) as caught:
        write(factory, target, {"file": "a"})
    assert caught.value.message == f"`{target}` holds something else than records, and is not replaced"
    assert caught.value.hint == "move it away, or name another target: `tsv:TARGET`"
    assert target.read_text() == "date\tamount\n"


def test_columns_are_those_of_the_first_record_whichever_run_wrote_it(factory, tmp_path):
    target = tmp_path / "records.tsv"
    position = write(factory, target, {"file": "a", "two\nlines": "x", "n": 1})
    sink = factory.open(str(target), run_info(tmp_path))
    assert sink.recover(position)
    sink.write({"n": 2, "two\nlines": "y", "file": "b"})
    sink.flush()
    sink.close()
    assert [(row["file"], row["two\nlines"], row["n"]) for row in rows_of(target)] == [("a", "x", "1"), ("b", "y", "2")]


@pytest.mark.parametrize("name", ["a\\b.jpg", "a\\\\t.jpg", "\\t", "tab\there", "two\nlines", "\\", "end\\", "\\n\\\n"])
def test_a_photo_of_any_name_is_found_again_where_a_line_was_changed_by_hand(factory, tmp_path, name):
    target = tmp_path / "records.tsv"
    write(factory, target, {"file": name, "title": "Cat"})
    assert [row["file"] for row in rows_of(target)] == [name]
    target.write_bytes(target.read_bytes().replace(b"Cat", b"My cat"))
    sink = factory.open(str(target), run_info(tmp_path))
    assert sink.keep([name])
    sink.close()
