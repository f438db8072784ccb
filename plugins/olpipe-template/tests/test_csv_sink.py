"""The sink `csv`, read back with Python's own reader."""

import csv

import pytest

from olpipe.interfaces import RunInfo
from olpipe.testing.contracts import SinkContract


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
        return [row["file"] for row in rows_of(target)]


def write(factory, target, *rows):
    sink = factory.open(str(target), RunInfo("recipe", "key"))
    assert sink.recover(0)
    try:
        for row in rows:
            sink.write(row)
    finally:
        sink.close()


def test_cells_are_what_a_spreadsheet_shows_best(factory, tmp_path):
    target = tmp_path / "records.csv"
    row = {
        "file": "a, b.jpg",
        "tags": ["cat", "tabby"],
        "objects": [{"x": 1}],
        "truncated": False,
        "count": 3,
        "no": None,
    }
    write(factory, target, row)
    assert rows_of(target) == [
        {"file": "a, b.jpg", "tags": "cat; tabby", "objects": '[{"x":1}]', "truncated": "false", "count": "3", "no": ""}
    ]


def test_a_record_with_an_unknown_column_is_an_error_and_not_lost_in_silence(factory, tmp_path):
    with pytest.raises(ValueError, match="dict contains fields not in fieldnames: 'more'"):
        write(factory, tmp_path / "records.csv", {"file": "a"}, {"file": "b", "more": 1})


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
        factory.open(str(tmp_path / "x.csv"), RunInfo("recipe", "key")).write({"file": "a"})
