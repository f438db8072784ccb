"""The sink `parquet`, read with pyarrow's datasets and with DuckDB."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts import PluginContract, SinkContract
from olpipe.testing.contracts.sinks import ROWS, opened, run_info

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}},
        "title": {"type": "string"},
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    **{name: {"type": "integer"} for name in "xywh"},
                    "type": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}
RECORD = {
    "file": "a.jpg",
    "sha256": "0" * 64,
    "image": {"width": 4, "height": 3, "orientation": 1, "format": "JPEG"},
    "tags": ["cat", "猫"],
    "tag_scores": [0.9, None],
    "title": "A cat",
    "objects": [{"x": 1, "y": 2, "w": 3, "h": 4, "type": "cat", "tags": ["tabby"], "score": 0.5}, {"type": "dog"}],
    "certainty": "sure",
    "box_unit": "px",
    "model": "m:latest",
    "model_digest": "sha256:0",
    "recipe": "r",
    "usage": {"prompt_tokens": 1, "sampled_tokens": 2, "forced_tokens": 3, "spliced_tokens": 4},
    "truncated": False,
}
UNRECOGNISED = {key: value for key, value in RECORD.items() if key not in ("title", "objects", "certainty")}
PART = 1000

# A sink that ends its process at the n-th change of its folder, as `kill -9` does.
DEADLY = """
import json, os, signal, sys
from pathlib import Path
from olpipe.testing.contracts.sinks import run_info
from olpipe_parquet import ParquetSinkFactory

target, position, first, count, left = sys.argv[1], *map(int, sys.argv[2:])

def deadly(act):
    def acting(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)
    return acting

os.replace, os.unlink, os.fsync = deadly(os.replace), deadly(os.unlink), deadly(os.fsync)
Path.unlink = deadly(Path.unlink)
sink = ParquetSinkFactory().open(target, run_info(Path(target).parent))
assert sink.recover(position)
for number in range(first, first + count):
    sink.write({"file": f"{number:05}.jpg", "title": "x"})
print(sink.flush())
"""


@pytest.fixture
def factory():
    from olpipe_parquet import ParquetSinkFactory

    return ParquetSinkFactory()


class TestModule(PluginContract):
    module = "olpipe_parquet"


class TestParquetSink(SinkContract):
    @pytest.fixture
    def factory(self, factory):
        return factory

    def read(self, target):
        return files(target)


def rows_of(target):
    """Read a target as pyarrow does."""
    return pyarrow.dataset.dataset(str(target)).to_table().to_pylist() if Path(target).is_dir() else []


def files(target):
    return [row["file"] for row in rows_of(target)]


def ask(target, question):
    """Read a target as DuckDB does."""
    return duckdb.sql(question.format(records=f"read_parquet('{target}/*.parquet')")).fetchall()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "records.parquet"


@pytest.fixture
def write(factory, target):
    def write(*rows, schema=SCHEMA, position=0):
        with opened(factory, str(target), run_info(target.parent, schema=schema), position) as sink:
            for row in rows:
                sink.write(row)
            return sink.flush()

    return write


def named(numbers):
    return [{**RECORD, "file": f"{number:05}.jpg"} for number in numbers]


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def test_a_record_comes_back_as_it_was(target, write):
    write(RECORD, UNRECOGNISED)
    first, second = rows_of(target)
    assert without_nulls(first) == RECORD
    assert without_nulls(second) == UNRECOGNISED
    assert second["title"] is second["objects"] is None


def test_columns_have_types(target, write):
    write(RECORD)
    schema = pyarrow.dataset.dataset(str(target)).schema
    assert schema.field("tags").type == pa.list_(pa.string())
    assert schema.field("tag_scores").type == pa.list_(pa.float64())
    thing = schema.field("objects").type.value_type
    assert {thing.field(number).name: thing.field(number).type for number in range(thing.num_fields)} == {
        **{name: pa.int64() for name in "xywh"},
        "type": pa.string(),
        "tags": pa.list_(pa.string()),
        "score": pa.float64(),
    }
    assert schema.field("image").type.field("width").type == pa.int64()
    assert schema.field("truncated").type == pa.bool_()


def test_duckdb_finds_the_same(target, write):
    write(RECORD, UNRECOGNISED)
    assert ask(target, "select file, title, tags[2], image.width, objects[1].score, truncated from {records}") == [
        ("a.jpg", "A cat", "猫", 4, 0.5, False),
        ("a.jpg", None, "猫", 4, None, False),
    ]
    things = "select thing.type from (select unnest(objects) as thing from {records}) order by all"
    assert ask(target, things) == [("cat",), ("dog",)]


def test_words_that_were_read_have_a_column_with_their_places(target, write):
    placed = {"text": "营业时间", "x": 1, "y": 2, "w": 30, "h": 9, "score": 0.9}
    write(RECORD, RECORD | {"file": "b.jpg", "text": [placed, {"text": "EXIT", "score": 0.5}]})
    words = "select word.text, word.x, word.score from (select unnest(text) as word from {records})"
    assert ask(target, words) == [("营业时间", 1, 0.9), ("EXIT", None, 0.5)]
    assert [row["other"] for row in rows_of(target)] == [None, None]


@pytest.mark.parametrize("rows", [(RECORD, UNRECOGNISED), (UNRECOGNISED, RECORD)])
def test_the_columns_are_the_same_whichever_record_comes_first(target, write, rows):
    write(*rows)
    schema = pyarrow.dataset.dataset(str(target)).schema
    own = ("file", "sha256", "image", "tags", "tag_scores", "title", "objects", "text", "certainty", "review")
    rest = ("box_unit", "model", "model_digest", "recipe", "usage", "truncated", "copied_from", "other")
    assert schema.names == [*own, *rest]


@pytest.mark.parametrize(
    ("schema", "value", "kept", "other"),
    [
        ({"type": "integer"}, 3, 3, None),
        ({"type": "integer"}, 3.0, 3, None),
        ({"type": "integer"}, 2**80 // 3.0, None, {"data": {"v": 2**80 // 3.0}}),
        ({"type": "integer"}, "3", None, {"data": {"v": "3"}}),
        ({"type": ["number", "null"]}, 3, 3.0, None),
        ({"type": ["number", "null"]}, None, None, None),
        ({"type": "boolean"}, 1, None, {"data": {"v": 1}}),
        ({"enum": ["day", "night", None]}, "day", "day", None),
        ({"const": 1}, 1, 1, None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 1, "1", None),
        ({"type": ["string", "integer"]}, "a", '"a"', None),
        ({"$ref": "#/$defs/x"}, {"a": 1}, '{"a":1}', None),
        ({"type": "array"}, [1, "a"], '[1,"a"]', None),
        ({"type": "array", "items": {}}, [1], "[1]", None),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, [[1, 0.5]], [[1.0, 0.5]], None),
        ({"properties": {"a": {"type": "string"}}}, {"a": "x"}, {"a": "x"}, None),
        (
            {"properties": {"a": {"type": "string"}}},
            {"a": "x", "b": 1},
            {"a": "x"},
            {"data": {"v": {"a": "x", "b": 1}}},
        ),
        ({"properties": {"a": {}}}, {"a": [1]}, {"a": "[1]"}, None),
        ({"type": "object", "properties": {}}, {"a": 1}, '{"a":1}', None),
    ],
)
def test_an_answer_to_a_schema_of_its_own_is_typed_and_never_lost(target, write, schema, value, kept, other):
    schema = {"type": "object", "properties": {"v": schema}}
    position = write({"file": "a", "data": {"v": value}}, schema=schema)
    write({"file": "b", "data": {"v": None}}, schema=schema, position=position)
    first, second = rows_of(target)
    assert first["data"] == {"v": kept}
    assert (None if first["other"] is None else json.loads(first["other"])) == other
    assert (second["data"], second["other"]) == ({"v": None}, None)


def test_what_has_no_column_is_not_lost(target, write):
    write(RECORD, {**RECORD, "mood": "calm"})
    assert [row["other"] for row in rows_of(target)] == [None, '{"mood":"calm"}']


def test_parts_have_a_thousand_rows_and_flushes_between_make_no_difference(target, write):
    position = 0
    for first, count in ((0, 700), (700, 700), (1400, 600), (2000, 1), (2001, 1500)):
        position = write(*named(range(first, first + count)), position=position)
    counts = [pyarrow.parquet.read_metadata(path).num_rows for path in sorted(target.glob("*.parquet"))]
    assert counts == [PART, PART, PART, 501]
    assert files(target) == [row["file"] for row in named(range(3501))]
    assert ask(target, "select count(distinct file) from {records}") == [(3501,)]


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2000])
def test_a_run_goes_on_behind_its_position_whatever_was_written_since(target, write, count):
    position = write(*named(range(count)))
    write(*named(range(count, count + 1500)), position=position)
    again = write(*named(range(5000, 5003)), position=position)
    assert again > position
    assert files(target) == [row["file"] for row in named([*range(count), 5000, 5001, 5002])]


def test_rows_behind_the_position_go_where_none_is_written(target, write):
    position = write(*named(range(1001)))
    write(*named(range(1001, 3000)), position=position)
    assert write(position=position) == position
    assert files(target) == [row["file"] for row in named(range(1001))]


def test_readers_see_nothing_before_a_flush(factory, target, write):
    write(*named(range(3)))
    with opened(factory, str(target), run_info(target.parent, schema=SCHEMA), 0) as sink:
        for row in named(range(10, 2500)):
            sink.write(row)
        assert files(target) == [row["file"] for row in named(range(3))]
    assert files(target) == [row["file"] for row in named(range(3))]
    assert sorted(path.name for path in target.iterdir()) == ["_olpipe", "part-00000.parquet"]


@pytest.mark.examples(1)
@pytest.mark.parametrize("death", [1, 3, 4])
def test_killed_at_any_change_the_next_run_makes_it_whole(target, write, tmp_path, death):
    (tmp_path / "deadly.py").write_text(DEADLY)
    position = write(*named(range(1500)))
    arguments = map(str, (target, position, 1500, 1200, death))
    assert subprocess.run([sys.executable, tmp_path / "deadly.py", *arguments]).returncode == -signal.SIGKILL
    seen = files(target)
    assert seen == [row["file"] for row in named(range(len(seen)))]
    assert len(seen) >= 1500
    write(*named(range(1500, 2700)), position=position)
    assert files(target) == [row["file"] for row in named(range(2700))]
    assert sorted(os.listdir(target)) == ["_olpipe", *(f"part-{number:05}.parquet" for number in range(3))]


def test_a_part_that_was_changed_is_noticed_and_kept_beside_the_new_ones(factory, target, write, caplog):
    position = write(*named(range(1200)))
    path = target / "part-00001.parquet"
    changed = pyarrow.parquet.read_table(path).to_pylist()
    changed[7]["title"] = "Mine"
    pyarrow.parquet.write_table(pa.Table.from_pylist(changed), path)
    sink = factory.open(str(target), run_info(target.parent, schema=SCHEMA))
    assert sink.recover(position) is False
    assert sink.keep([]) is False
    assert sink.recover(0)
    sink.write(RECORD)
    sink.flush()
    sink.close()
    assert files(target) == ["a.jpg"]
    assert pyarrow.parquet.read_table(f"{target}.1/part-00001.parquet").to_pylist()[7]["title"] == "Mine"
    assert "what it held is kept as `records.parquet.1`" in caplog.text


@pytest.mark.parametrize("size", [0, 1, 100, -1])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_part_is_written_anew(factory, target, write, number, size):
    position = write(*named(range(1200)))
    path = target / f"part-{number:05}.parquet"
    path.write_bytes(path.read_bytes()[:size])
    sink = factory.open(str(target), run_info(target.parent, schema=SCHEMA))
    assert sink.recover(position) is False
    sink.close()
    write(RECORD)
    assert files(target) == ["a.jpg"]


@pytest.mark.parametrize("whose", ["a file", "a folder of other files", "a dataset of somebody else", "one more file"])
@pytest.mark.parametrize("begins", ["behind its rows", "anew"])
def test_what_is_somebody_elses_is_not_replaced(factory, target, write, whose, begins):
    position = write(RECORD)
    if whose == "one more file":
        shutil.copy(target / "part-00000.parquet", target / "mine.parquet")
    else:
        shutil.rmtree(target)
        if whose == "a file":
            target.write_text("notes")
        else:
            target.mkdir()
            table = pa.table({"n": [1]})
            name = "part-00000.parquet" if whose == "a dataset of somebody else" else "notes.parquet"
            pyarrow.parquet.write_table(table, target / name)
    before = {path: path.read_bytes() for path in [target, *target.rglob("*")] if path.is_file()}
    sink = factory.open(str(target), run_info(target.parent, schema=SCHEMA))
    assert begins == "anew" or sink.recover(position) is False
    with pytest.raises(OutputUnavailable, match="and is not replaced") as caught:
        sink.recover(0)
    sink.close()
    assert caught.value.hint == "move it away, or name another folder: `parquet:FOLDER`"
    assert {path: path.read_bytes() for path in [target, *target.rglob("*")] if path.is_file()} == before


def test_hidden_files_of_a_file_manager_are_no_reason_to_refuse(target, write):
    position = write(*ROWS)
    (target / ".DS_Store").write_bytes(b"")
    assert write(position=position) == position
    write(RECORD)
    assert sorted(os.listdir(target)) == [".DS_Store", "_olpipe", "part-00000.parquet"]


def test_rows_before_recovery_are_a_bug_of_the_caller(factory, target):
    with pytest.raises(ValueError, match="`recover` comes before the first write"):
        factory.open(str(target), run_info(target.parent)).write(RECORD)
