"""The sink `voc`: an XML file for each photo, as Pascal VOC has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olpipe.interfaces import RunInfo, SinkFactory
from olpipe_coco.files_sink import FilesSink
from olpipe_coco.names import xml_text
from olpipe_coco.things import size_of, things_of


class VocSink(FilesSink):
    """Writes `Annotations/NAME.xml` for each photo."""

    folder_name = "Annotations"
    suffix = ".xml"

    def render(self, row: Mapping[str, Any], stem: str) -> tuple[bytes, dict[str, Any]]:
        """Return the XML of a row."""
        return ("\n".join(_lines(row)) + "\n").encode("utf-8"), {}


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    folder, _, name = row["file"].rpartition("/")
    width, height = size_of(row)
    yield "<annotation>"
    yield f"  <folder>{xml_text(folder)}</folder>"
    yield f"  <filename>{xml_text(name)}</filename>"
    yield f"  <path>{xml_text(row['file'])}</path>"
    yield "  <source><database>olpipe</database></source>"
    yield f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    yield "  <segmented>0</segmented>"
    for thing in things_of(row):
        yield "  <object>"
        yield f"    <name>{xml_text(thing.name)}</name>"
        yield "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        # Pixels count from 1 in VOC, and the last one belongs to the box
        yield (
            f"    <bndbox><xmin>{thing.x + 1}</xmin><ymin>{thing.y + 1}</ymin>"
            f"<xmax>{thing.x + thing.w}</xmax><ymax>{thing.y + thing.h}</ymax></bndbox>"
        )
        if thing.score is not None:
            yield f"    <score>{thing.score}</score>"
        yield "  </object>"
    yield "</annotation>"


class VocSinkFactory(SinkFactory):
    """Opens folders of XML files. They take records of any schema."""

    scheme = "voc"
    usual_target = "voc"

    def open(self, target: str, run: RunInfo) -> VocSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return VocSink(run.output / target, "move it away, or name another folder: `voc:FOLDER`")
