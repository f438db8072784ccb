"""The sink `tsv`: one line a record, with tabs between the cells."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.row_file import RowFile

BEGINNING = b"file"
"""Every record begins with this column: a file that begins otherwise was written by somebody else."""

_WRITTEN = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_WRITTEN_OUT = str.maketrans(_WRITTEN)
"""How characters are written that would end a cell or a line."""


class TsvSink(Sink):
    """Appends lines to a file. The first record decides the columns, with those of the schema that it lacks."""

    def __init__(self, path: Path, properties: Collection[str] = ()) -> None:
        """Open nothing yet: `recover` comes first.

        Args:
            path: The file.
            properties: The properties of the schema. A record may lack some of them, as one of a photo in which
                nothing was recognised lacks the sentences.
        """
        self._path = path
        self._properties = properties
        hint = "move it away, or name another target: `tsv:TARGET`"
        self._rows = RowFile(path, beginning=BEGINNING, foreign="holds something else than records", hint=hint)
        self._columns: list[str] = []

    def recover(self, position: int) -> bool:
        """Go on behind a position, with the columns that the file has; 0 begins a new file."""
        reached = self._rows.recover(position)
        self._columns = self._columns_there() if position and reached else []
        return reached

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind lines that somebody has changed, where each is still the record of one of these photos."""
        kept = self._rows.keep(files, _names)
        self._columns = self._columns_there() if kept else []
        return kept

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; before the first, the columns' names."""
        self._rows.opened()
        if not self._columns:
            self._columns = _all_columns(list(row), list(self._properties))
            self._append(self._columns)
        if unknown := [name for name in row if name not in self._columns]:
            raise ValueError(f"the file has no column `{unknown[0]}`")
        self._append([row.get(name) for name in self._columns])

    def flush(self) -> int:
        """Bring every line to the disk and return the position."""
        return self._rows.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def _append(self, cells: Sequence[Any]) -> None:
        self._rows.append(("\t".join(map(_cell, cells)) + "\n").encode("utf-8"))

    def _columns_there(self) -> list[str]:
        with self._path.open("rb") as lines:
            return _read(lines.readline().decode("utf-8", errors="replace"))


def _all_columns(found: list[str], properties: list[str]) -> list[str]:
    """Return the columns of a record, with those properties that it lacks, each before the next one that it has.

    Where none is a column, the answer stands in a column of its own, and there is nothing to add.
    """
    columns = list(found)
    if columns and not set(properties).isdisjoint(columns):
        following = len(columns)
        for name in reversed(properties):
            if name in columns:
                following = columns.index(name)
            else:
                columns.insert(following, name)
    return columns


def _names(file: BinaryIO) -> Iterator[str]:
    """Yield the photo's name of each line but the first, which names the columns."""
    lines = iter(file)
    columns = _read(next(lines, b"").decode("utf-8"))
    if columns[0] != "file":
        raise ValueError("the first line does not name the columns")
    for line in lines:
        cells = _read(line.decode("utf-8"))
        if len(cells) != len(columns):
            raise ValueError("a line does not have a cell for each column")
        yield cells[0]


class TsvSinkFactory(SinkFactory):
    """Opens files of lines with tabs, for records that all have the same columns."""

    scheme = "tsv"
    usual_target = "records.tsv"

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Refuse schemas whose records may lack a property."""
        required = schema.get("required", ())
        optional = [name for name in schema.get("properties", {}) if name not in required]
        if optional:
            return f"`{optional[0]}` may be missing from a record, and every line of a TSV file has the same columns"
        return None

    def open(self, target: str, run: RunInfo) -> TsvSink:
        """Return a sink for the file at a path; a relative one lies below the output folder."""
        return TsvSink(run.output / target, run.schema.get("properties", ()))


def _cell(value: Any) -> str:
    """Return a text without tabs and line breaks: lists of texts with semicolons between, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "; ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_WRITTEN_OUT)


def _read(line: str) -> list[str]:
    """Return the cells of a line."""
    meant = {written: character for character, written in _WRITTEN.items()}
    cells = line.removesuffix("\n").split("\t")
    return [re.sub(r"\\.", lambda found: meant.get(found[0], found[0]), cell) for cell in cells]
