"""The sink `csv`, read with Python's own reader and with the one of Arrow."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.default_plugins.sinks.csv import CsvSinkFactory
from olpipe.errors import OutputUnavailable
from olpipe.record import RESERVED
from olpipe.testing.contracts import SinkContract
from olpipe.testing.contracts.sinks import opened, run_info

pyarrow_csv = pytest.importorskip("pyarrow.csv", reason="pyarrow is not installed")

PROPERTIES = {
    "tags": {"type": "array", "items": {"type": "string"}},
    "title": {"type": "string"},
    "objects": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}}}},
}
SCHEMA = {"type": "object", "properties": PROPERTIES}
RECORD = {
    "file": "a.jpg",
    "sha256": "0" * 64,
    "image": {"width": 4, "height": 3, "orientation": 1, "format": "JPEG"},
    "tags": ["cat", "tabby"],
    "tag_scores": [0.9, None],
    "title": "A cat",
    "objects": [{"type": "cat", "x": 1, "score": 0.9}],
    "text": [{"text": "EXIT", "x": 1, "y": 1, "w": 2, "h": 1, "score": 0.9}, {"text": "出口", "score": 0.8}],
    "certainty": "sure",
    "box_unit": "px",
    "model": "m:latest",
    "model_digest": "sha256:0",
    "recipe": "r",
    "usage": {"prompt_tokens": 1, "sampled_tokens": 2, "forced_tokens": 3, "spliced_tokens": 4},
    "truncated": False,
}
UNRECOGNISED = {key: value for key, value in RECORD.items() if key not in ("title", "tag_scores", "text", "certainty")}
COLUMNS = [
    *("file", "sha256", "image.width", "image.height", "image.orientation", "image.format", "image.frames"),
    *("tags", "tag_scores", "title", "objects", "text", "certainty", "review", "box_unit", "model"),
    *("model_digest", "recipe"),
    *("usage.prompt_tokens", "usage.sampled_tokens", "usage.forced_tokens", "usage.spliced_tokens", "truncated"),
    *("copied_from", "other"),
]


class TestCsvSink(SinkContract):
    @pytest.fixture
    def factory(self):
        return CsvSinkFactory()

    def read(self, target):
        return [row["file"] for row in rows_of(target)] if Path(target).exists() else []


@pytest.fixture
def target(tmp_path):
    return tmp_path / "records.csv"


def rows_of(target):
    with open(target, encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def write(target, *rows, schema=SCHEMA, position=0):
    with opened(CsvSinkFactory(), str(target), run_info(target.parent, schema=schema), position) as sink:
        for row in rows:
            sink.write(row)
        return sink.flush()


def test_cells_are_what_a_spreadsheet_shows_best(target):
    write(target, RECORD)
    (row,) = rows_of(target)
    assert list(row) == COLUMNS
    shown = ("tags", "tag_scores", "title", "text", "image.width", "truncated", "other")
    assert {name: row[name] for name in shown} == {
        "tags": "cat; tabby",
        "tag_scores": "0.9; ",
        "title": "A cat",
        "text": "EXIT; 出口",
        "image.width": "4",
        "truncated": "false",
        "other": "",
    }
    assert json.loads(row["objects"]) == RECORD["objects"]


def test_every_key_that_records_have_of_their_own_has_columns(target):
    write(target, RECORD)
    assert {name.split(".")[0] for name in COLUMNS} >= RESERVED


@pytest.mark.parametrize("rows", [(RECORD, UNRECOGNISED), (UNRECOGNISED, RECORD)])
def test_the_columns_are_the_same_whichever_record_comes_first(target, rows):
    write(target, *rows)
    found = rows_of(target)
    assert [list(row) for row in found] == [COLUMNS, COLUMNS]
    assert sorted(row["title"] for row in found) == ["", "A cat"]
    assert [row["other"] for row in found] == ["", ""]


def test_an_answer_to_a_schema_of_its_own_has_a_column_for_each_property(target):
    place = {"type": "object", "properties": {"city": {"type": "string"}}}
    schema = {"properties": {"n": {"type": "integer"}, "place": place}}
    write(target, {"file": "a", "data": {"n": 1}}, {"file": "b", "data": {"place": {"city": "北京"}}}, schema=schema)
    first, second = rows_of(target)
    assert (first["data.n"], first["data.place.city"]) == ("1", "")
    assert (second["data.n"], second["data.place.city"]) == ("", "北京")


def test_an_answer_that_is_no_object_has_one_column(target):
    write(target, {"file": "a", "data": ["x", "y"]}, {"file": "b", "data": [{"n": 1}]}, schema={"type": "array"})
    assert [row["data"] for row in rows_of(target)] == ["x; y", '[{"n":1}]']


def test_what_has_no_column_is_not_lost(target):
    more = {**RECORD, "file": "b.jpg", "mood": "calm", "image": {**RECORD["image"], "dpi": 72}}
    position = write(target, RECORD)
    write(target, more, position=position)
    assert [row["other"] for row in rows_of(target)] == ["", '{"image.dpi":72,"mood":"calm"}']


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1", "  =1", "＝1+1", "'=1", "''-1"])
def test_no_text_is_a_formula(target, text):
    write(target, {**RECORD, "file": text, "title": text, "tags": [text, "cat"]})
    (row,) = rows_of(target)
    assert (row["file"], row["title"], row["tags"]) == (f"'{text}", f"'{text}", f"'{text}; cat")


def test_numbers_below_zero_stay_numbers(target):
    write(target, {"file": "a", "data": {"n": -1.5}}, schema={"properties": {"n": {"type": "number"}}})
    assert rows_of(target)[0]["data.n"] == "-1.5"


@pytest.mark.parametrize("text", ["'tis a cat", "a = b", "", "café 猫 🐈", 'say "x", then\r\ny', "x\ny", "a;b"])
def test_other_texts_stay_as_they_are(target, text):
    write(target, {**RECORD, "title": text})
    assert rows_of(target)[0]["title"] == text


def test_excel_is_told_the_encoding(target):
    write(target, RECORD)
    assert target.read_bytes().startswith(b"\xef\xbb\xbffile,")


def test_another_reader_finds_the_same_rows(target):
    rows = [{**RECORD, "file": f"{number}.jpg", "title": f'line\nof "猫", {number}'} for number in range(20)]
    write(target, *rows)
    table = pyarrow_csv.read_csv(target, parse_options=pyarrow_csv.ParseOptions(newlines_in_values=True))
    assert table.column_names == COLUMNS
    assert table["title"].to_pylist() == [row["title"] for row in rows]
    assert table["image.width"].to_pylist() == [4] * 20
    assert table["truncated"].to_pylist() == [False] * 20


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=4)
)
def test_photos_of_any_name_are_found_again_in_a_table_that_was_changed_by_hand(tmp_path_factory, names):
    target = tmp_path_factory.mktemp("by-hand") / "records.csv"
    write(target, *({**RECORD, "file": name} for name in names))
    sink = CsvSinkFactory().open(str(target), run_info(target.parent, schema=SCHEMA))
    assert sink.keep(names) is (names != [])
    sink.close()


def test_a_table_that_excel_has_saved_again_goes_on(target):
    position = write(target, RECORD)
    data = target.read_bytes()
    target.write_bytes(data.replace(b"A cat", b"Grandmother's cat").replace(b"false", b"FALSE"))
    sink = CsvSinkFactory().open(str(target), run_info(target.parent, schema=SCHEMA))
    assert not sink.recover(position)
    assert sink.keep(["a.jpg"])
    sink.write({**RECORD, "file": "b.jpg"})
    sink.flush()
    sink.close()
    assert [(row["file"], row["title"]) for row in rows_of(target)] == [
        ("a.jpg", "Grandmother's cat"),
        ("b.jpg", "A cat"),
    ]


def test_a_file_of_somebody_else_is_not_replaced(target):
    target.write_text("date,amount\n")
    with pytest.raises(OutputUnavailable) as caught:
        write(target, RECORD)
    assert caught.value.message == f"`{target}` holds something else than records, and is not replaced"
    assert caught.value.hint == "move it away, or name another target: `csv:TARGET`"


def test_rows_before_recovery_are_a_bug_of_the_caller(target):
    sink = CsvSinkFactory().open(str(target), run_info(target.parent, schema=SCHEMA))
    with pytest.raises(ValueError, match="`recover` comes before the first write"):
        sink.write(RECORD)
