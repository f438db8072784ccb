"""The sink `csv`: one line a record, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.row_file import RowFile

BEGINNING = b"file"
"""Every record begins with this column: a file that begins otherwise was written by somebody else."""

LINE_END = b"\r\n"


class CsvSink(Sink):
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
        hint = "move it away, or name another target: `csv:TARGET`"
        foreign = "holds something else than records"
        self._rows = RowFile(path, beginning=BEGINNING, end=LINE_END, foreign=foreign, hint=hint)
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
        cells = {name: _cell(value) for name, value in row.items()}
        self._rows.opened()
        if not self._columns:
            self._columns = _all_columns(list(cells), list(self._properties))
            self._append(dict(zip(self._columns, self._columns, strict=True)))
        self._append(cells)

    def flush(self) -> int:
        """Bring every line to the disk and return the position."""
        return self._rows.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def _append(self, cells: Mapping[str, Any]) -> None:
        line = io.StringIO()
        csv.DictWriter(line, self._columns, lineterminator=LINE_END.decode()).writerow(cells)  # as RFC 4180 has it
        self._rows.append(line.getvalue().encode("utf-8"))

    def _columns_there(self) -> list[str]:
        with self._path.open(encoding="utf-8", newline="", errors="replace") as lines:
            return next(csv.reader(lines), [])


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
    lines = csv.reader(io.StringIO(file.read().decode("utf-8"), newline=""), strict=True)
    try:
        columns = next(lines, [])
        if columns[:1] != ["file"]:
            raise ValueError("the first line does not name the columns")
        for cells in lines:
            if len(cells) != len(columns):
                raise ValueError("a line does not have a cell for each column")
            yield cells[0]
    except csv.Error as error:
        raise ValueError("the file is no CSV") from error


class CsvSinkFactory(SinkFactory):
    """Opens CSV files, for records that all have the same columns."""

    scheme = "csv"
    usual_target = "records.csv"

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Refuse schemas whose records may lack a property."""
        required = schema.get("required", ())
        optional = [name for name in schema.get("properties", {}) if name not in required]
        if optional:
            return f"`{optional[0]}` may be missing from a record, and every line of a CSV file has the same columns"
        return None

    def open(self, target: str, run: RunInfo) -> CsvSink:
        """Return a sink for the file at a path; a relative one lies below the output folder."""
        return CsvSink(run.output / target, run.schema.get("properties", ()))


def _cell(value: Any) -> Any:
    """Return texts and numbers as they are, lists of texts with semicolons between, the rest as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value
