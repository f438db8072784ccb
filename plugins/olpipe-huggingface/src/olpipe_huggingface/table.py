"""The table of a data set. Its columns and their types are always the same, whatever the records hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from olpipe.row_documents import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    Photo = Callable[[str], Any]

_BATCH_ROWS = 1000
_TEXTS = ("sha256", "title", "description", "alt", "certainty", "model", "recipe")
_LEFT_OUT = frozenset({"image", "box_unit"})


def write_table(file: BinaryIO, rows: Rows, photo: tuple[str, Any], value: Photo) -> None:
    """Write a Parquet file with a line for each record.

    Args:
        file: Where to.
        rows: The records.
        photo: The name and the type of the column that leads to the photo.
        value: Returns what stands in that column, for the `file` of a record.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = _schema(*photo)
    with parquet.ParquetWriter(file, schema) as writer:
        lines = ({photo[0]: value(row["file"]), **_line(row)} for row in rows())
        while batch := list(islice(lines, _BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def image_type() -> pa.DataType:
    """Return how `datasets` stores an image: its bytes, or where it lies."""
    import pyarrow as pa

    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _schema(name: str, kind: Any) -> pa.Schema:
    import orjson
    import pyarrow as pa

    texts, scores = pa.list_(pa.string()), pa.list_(pa.float32())
    objects = pa.struct(
        [("bbox", pa.list_(scores)), ("categories", texts), ("scores", scores), ("tags", pa.list_(texts))]
    )
    schema = pa.schema(
        [
            (name, kind),
            ("file", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("tags", texts),
            ("tag_scores", scores),
            ("objects", objects),
            ("text", pa.struct([("bbox", pa.list_(scores)), ("words", texts), ("scores", scores)])),
            *((text, pa.string()) for text in _TEXTS),
            ("other", pa.string()),
        ]
    )
    if kind != image_type():
        return schema
    features = {field.name: _feature(field.type) for field in schema} | {name: {"_type": "Image"}}
    return schema.with_metadata({"huggingface": orjson.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> Any:
    """Return how `datasets` writes a type down."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"_type": "List", "feature": _feature(kind.value_type)}
    return {"_type": "Value", "dtype": {"float": "float32"}.get(str(kind), str(kind))}


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a record. What it lacks is null, and what has no column is JSON in `other`."""
    import orjson

    line: dict[str, Any] = {"file": row["file"], "width": row["image"]["width"], "height": row["image"]["height"]}
    tags, scores, objects = row.get("tags"), row.get("tag_scores"), row.get("objects")
    if _is_list(tags, str):
        line["tags"] = tags
    if _is_list(scores, int | float | None):
        line["tag_scores"] = scores
    if isinstance(objects, list) and _is_list(objects, Mapping):
        line["objects"] = _objects(objects)
    if _is_list(row.get("text"), Mapping) and all(isinstance(one.get("text"), str) for one in row["text"]):
        line["text"] = _words(row["text"])
    line.update({text: row[text] for text in _TEXTS if isinstance(row.get(text), str)})
    other = {key: value for key, value in row.items() if key not in line and key not in _LEFT_OUT}
    line["other"] = orjson.dumps(other).decode() if other else None
    return line


def _is_list(value: Any, kind: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _objects(objects: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the objects that have a box, as lists of equal length."""
    things = [(box, thing) for thing in objects if (box := _box(thing)) and isinstance(thing.get("type"), str)]
    return {
        "bbox": [box for box, _ in things],
        "categories": [thing["type"] for _, thing in things],
        "scores": [thing.get("score") if isinstance(thing.get("score"), int | float) else None for _, thing in things],
        "tags": [thing["tags"] if _is_list(thing.get("tags"), str) else [] for _, thing in things],
    }


def _words(read: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the words that were read, as lists of equal length. The box of words without a place is empty."""
    return {
        "bbox": [_box(one) or [] for one in read],
        "words": [one["text"] for one in read],
        "scores": [one.get("score") if isinstance(one.get("score"), int | float) else None for one in read],
    }


def _box(thing: Mapping[str, Any]) -> list[int] | None:
    sides = [thing.get(side) for side in ("x", "y", "w", "h")]
    return [side for side in sides if isinstance(side, int)] if all(isinstance(side, int) for side in sides) else None
