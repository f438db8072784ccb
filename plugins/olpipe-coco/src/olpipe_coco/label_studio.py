"""The sink `label-studio`: tasks with predictions, and the labelling interface that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from olpipe.interfaces import RunInfo, SinkFactory
from olpipe.row_documents import Rows
from olpipe_coco.documents_sink import DocumentsSink
from olpipe_coco.names import xml_attribute
from olpipe_coco.things import closed_names, size_of, tags_of, things_of

TASKS = "tasks.json"
"""What is imported into a project."""

INTERFACE = "interface.xml"
"""What is pasted into the project's settings as its labelling interface."""

SENTENCES = ("title", "description", "alt")
"""Properties that become fields of text."""


class LabelStudioSink(DocumentsSink):
    """Writes the tasks and the interface for all rows."""

    def __init__(self, target: str, run: RunInfo) -> None:
        self._run = run
        hint = "move it away, or name another folder: `label-studio:FOLDER`"
        documents = {TASKS: self._write_tasks, INTERFACE: self._write_interface}
        super().__init__(run.output / target, documents, hint=hint)

    def _write_tasks(self, file: BinaryIO, rows: Rows) -> None:
        import orjson

        file.write(b"[")
        for number, row in enumerate(rows()):
            file.write((b",\n" if number else b"\n") + orjson.dumps(self._task(row)))
        file.write(b"\n]\n")

    def _task(self, row: Mapping[str, Any]) -> dict[str, Any]:
        # Label Studio serves a photo below its document root, and wants its folder to be a child of that root
        place = quote(f"{self._run.root.name}/{row['file']}".removeprefix("/"))
        results = [] if row.get("review") == "rejected" else list(_results(row))
        scores = [result["score"] for result in results if "score" in result]
        prediction = {
            "model_version": f"{self._run.model} {self._run.recipe}",
            **({"score": min(scores)} if scores else {}),
            "result": results,
        }
        return {
            "data": {"image": f"/data/local-files/?d={place}", "file": row["file"]},
            "predictions": [prediction] if results else [],
        }

    def _write_interface(self, file: BinaryIO, rows: Rows) -> None:
        labels = dict.fromkeys(closed_names(self._run.schema))
        tags: dict[str, None] = {}
        for row in rows():
            labels.update(dict.fromkeys(thing.name for thing in things_of(row)))
            tags.update(dict.fromkeys(tags_of(row)))
        lines = ["<View>", '  <Image name="image" value="$image"/>']
        if labels:
            lines.append('  <RectangleLabels name="objects" toName="image">')
            lines += [f"    <Label value={xml_attribute(name)}/>" for name in labels]
            lines.append("  </RectangleLabels>")
        if tags:
            lines.append('  <Choices name="tags" toName="image" choice="multiple" layout="select">')
            lines += [f"    <Choice value={xml_attribute(name)}/>" for name in tags]
            lines.append("  </Choices>")
        lines += [
            f'  <Header value="{name}"/>\n  <TextArea name="{name}" toName="image" editable="true" maxSubmissions="1"/>'
            for name in SENTENCES
        ]
        file.write(("\n".join([*lines, "</View>"]) + "\n").encode("utf-8"))


def _results(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what was found in a photo, as the regions and fields of the interface."""
    width, height = size_of(row)
    for number, thing in enumerate(things_of(row), 1):
        yield {
            "id": f"object-{number}",
            "from_name": "objects",
            "to_name": "image",
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": 100 * thing.x / width,
                "y": 100 * thing.y / height,
                "width": 100 * thing.w / width,
                "height": 100 * thing.h / height,
                "rotation": 0,
                "rectanglelabels": [thing.name],
            },
            **({} if thing.score is None else {"score": thing.score}),
        }
    if tags := tags_of(row):
        yield _field("tags", "choices", {"choices": tags})
    for name in SENTENCES:
        text = row.get(name)
        if isinstance(text, str) and text:
            yield _field(name, "textarea", {"text": [text]})


def _field(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": kind, "value": value}


class LabelStudioSinkFactory(SinkFactory):
    """Opens folders with tasks for Label Studio. They take records of any schema."""

    scheme = "label-studio"
    usual_target = "label-studio"

    def open(self, target: str, run: RunInfo) -> LabelStudioSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return LabelStudioSink(target, run)
