"""The sink `coco`: one JSON file with images, boxes and categories, as COCO's tools read instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from olpipe.interfaces import RunInfo, SinkFactory
from olpipe.row_documents import Rows
from olpipe_coco.documents_sink import DocumentsSink
from olpipe_coco.things import Numbers, closed_names, size_of, things_of

NAME = "instances.json"
"""The document, in the sink's folder."""

EXTRAS = ("sha256", "certainty", "review", "title", "description", "alt", "tags", "tag_scores", "text")
"""Keys of the record that an image keeps. Readers of COCO pass over them."""


class CocoSink(DocumentsSink):
    """Writes the document of all rows."""

    takes_rejected = False

    def __init__(self, target: str, run: RunInfo) -> None:
        self._run = run
        hint = "move it away, or name another folder: `coco:FOLDER`"
        super().__init__(run.output / target, {NAME: self._document}, hint=hint)

    def _document(self, file: BinaryIO, rows: Rows) -> None:
        """Write the document in two passes: the images, and then the boxes."""
        import orjson

        numbers = Numbers(closed_names(self._run.schema), first=1)
        run = self._run
        info = {
            "description": f"Photos described by {run.model} with the recipe {run.recipe} of olpipe",
            "version": "1.0",
        }
        file.write(b'{"info":' + orjson.dumps(info) + b',\n"licenses":[],\n"images":[')
        _write_list(file, (_image(number, row) for number, row in enumerate(rows(), 1)))
        file.write(b'],\n"annotations":[')
        _write_list(file, _annotations(rows, numbers))
        file.write(b'],\n"categories":[')
        _write_list(file, ({"id": numbers[name], "name": name, "supercategory": ""} for name in numbers.names))
        file.write(b"]}\n")


def _write_list(file: BinaryIO, values: Iterable[Mapping[str, Any]]) -> None:
    import orjson

    for number, value in enumerate(values):
        file.write((b",\n" if number else b"\n") + orjson.dumps(value))


def _image(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    width, height = size_of(row)
    extras = {key: row[key] for key in EXTRAS if key in row}
    return {"id": number, "file_name": row["file"], "width": width, "height": height, **extras}


def _annotations(rows: Rows, numbers: Numbers) -> Iterable[dict[str, Any]]:
    found = ((image, thing) for image, row in enumerate(rows(), 1) for thing in things_of(row))
    for number, (image, thing) in enumerate(found, 1):
        yield {
            "id": number,
            "image_id": image,
            "category_id": numbers[thing.name],
            "bbox": [thing.x, thing.y, thing.w, thing.h],
            "area": thing.w * thing.h,
            "iscrowd": 0,
            "segmentation": [],
            **({} if thing.score is None else {"score": thing.score}),
            **({"tags": thing.tags} if thing.tags else {}),
        }


class CocoSinkFactory(SinkFactory):
    """Opens folders with a COCO file. They take records of any schema; those without boxes have no annotations."""

    scheme = "coco"
    usual_target = "coco"

    def open(self, target: str, run: RunInfo) -> CocoSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return CocoSink(target, run)
