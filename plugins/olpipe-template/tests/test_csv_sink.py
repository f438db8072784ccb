"""The sink `csv`, read back with Python's own reader."""

import csv
import os

import pytest

from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts import SinkContract
from olpipe.testing.contracts.sinks import run_info


@pytest.fixture
def factory():
    from olpipe_template.csv_sink import CsvSinkFactory

    return CsvSinkFactory()


def rows_of(target):
    with open(target, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


class TestCsvSink(SinkContract):
    @pytest.fixture
    def factory(self, factory):
        return factory

    def read(self, target):
        if not os.path.exists(target):
            return []
        return [row["file"] for row in rows_of(target)]


def write(factory, target, *rows):
    sink = factory.open(str(target), run_info(target.parent))
    assert sink.recover(0)
    try:
        for row in rows:
            sink.write(row)
        return sink.flush()
    finally:
        sink.close()


def test_cells_are_what_a_spreadsheet_shows_best(factory, tmp_path):
    target = tmp_path / "records.csv"
    row = {
        "file": "a, b.jpg",
        "tags": ["cat", "tabby"],
        "tag_scores": [0.9, None],
        "title": "Cat",
        "objects": [{"x": 1}],
        "truncated": False,
        "count": 3,
        "no": None,
    }
    write(factory, target, row)
    assert rows_of(target) == [
        {"file": "a, b.jpg", "tags": "cat; tabby", "tag_scores": "[0.9,null]", "title": "Cat"}
        | {"objects": '[{"x":1}]', "truncated": "false", "count": "3", "no": ""}
    ]


def test_a_record_with_an_unknown_column_is_an_error_and_not_lost_in_silence(factory, tmp_path):
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames: 'more'"):
        write(factory, tmp_path / "records.csv", {"file": "a"}, {"file": "b", "more": 1})


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_record_without_sentences_has_empty_cells_whether_it_comes_first_or_not(factory, tmp_path, first):
    target = tmp_path / "records.csv"
    rows = [{"file": "a", "tags": [], "count": 1}, {"file": "b", "tags": ["cat"], "title": "Cat", "count": 2}]
    write(factory, target, *sorted(rows, key=lambda row: row["file"] != first))
    read = {row["file"]: row for row in rows_of(target)}
    assert read["a"]["title"] == ""
    assert read["b"] == {"file": "b", "tags": "cat", "title": "Cat", "count": "2"}


def test_an_answer_in_a_column_of_its_own_gets_no_columns_for_its_parts(factory, tmp_path):
    target = tmp_path / "records.csv"
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
        factory.open(str(tmp_path / "x.csv"), run_info(tmp_path)).write({"file": "a"})


def test_a_file_of_somebody_else_is_not_replaced(factory, tmp_path):
    target = tmp_path / "expenses.csv"
    target.write_text("date,amount\n")
    with pytest.raises(OutputUnavailable) as caught:
        write(factory, target, {"file": "a"})
    assert caught.value.message == f"`{target}` holds something else than records, and is not replaced"
    assert caught.value.hint == "move it away, or name another target: `csv:TARGET`"
    assert target.read_text() == "date,amount\n"


def test_columns_are_those_of_the_first_record_whichever_run_wrote_it(factory, tmp_path):
    target = tmp_path / "records.csv"
    position = write(factory, target, {"file": "a", "two\nlines": "x", "n": 1})
    sink = factory.open(str(target), run_info(tmp_path))
    assert sink.recover(position)
    sink.write({"n": 2, "two\nlines": "y", "file": "b"})
    sink.flush()
    sink.close()
    assert [(row["file"], row["two\nlines"], row["n"]) for row in rows_of(target)] == [("a", "x", "1"), ("b", "y", "2")]
