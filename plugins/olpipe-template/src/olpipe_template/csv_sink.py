"""The sink `csv`: one line a record, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.interfaces import RunInfo, Sink, SinkFactory

BEGINNING = b"file"
"""Every record begins with this column: a file that begins otherwise was written by somebody else."""

LINE_END = b"\r\n"


class CsvSink(Sink):
    """Appends lines to a file; its positions are byte offsets. The first record decides the columns.

    Who starts over writes a new file beside the old one, which takes its place on the first flush: a run that ends
    before that has destroyed nothing.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet: `recover` comes first."""
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        self._file: BinaryIO | None = None
        self._replaces = False
        self._columns: list[str] = []

    def recover(self, position: int) -> bool:
        """Cut the file at a position, and read the columns from what is left; 0 begins a new file.

        Raises:
            OutputUnavailable: The file to be replaced is not one of ours.
        """
        if position == 0:
            self._refuse_others()
            self._fresh.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._replaces, self._columns = self._fresh.open("wb"), True, []
            return True
        if not self._path.is_file():
            return False
        file = self._path.open("r+b")
        if not _ends_a_line(file, position):
            file.close()
            return False
        file.truncate(position)
        file.seek(position)
        with self._path.open(encoding="utf-8", newline="", errors="replace") as lines:
            self._columns = next(csv.reader(lines), [])
        self._file, self._replaces = file, False
        return True

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; before the first, the columns' names."""
        cells = {name: _cell(value) for name, value in row.items()}
        if not self._columns:
            self._columns = list(cells)
            self._append(dict(zip(self._columns, self._columns, strict=True)))
        self._append(cells)

    def flush(self) -> int:
        """Bring every line to the disk and return the file's length."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        if self._replaces:
            file.close()  # some systems do not rename a file that is open
            os.replace(self._fresh, self._path)
            self._file, self._replaces = self._path.open("ab"), False
        return self._opened().tell()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _append(self, cells: Mapping[str, Any]) -> None:
        line = io.StringIO()
        csv.DictWriter(line, self._columns, lineterminator=LINE_END.decode()).writerow(cells)  # as RFC 4180 has it
        self._opened().write(line.getvalue().encode("utf-8"))

    def _refuse_others(self) -> None:
        """Refuse to replace a file that begins otherwise. What is left of a file of ours may end at any byte."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if BEGINNING.startswith(file.read(len(BEGINNING))):
                return
        message = f"`{self._path}` holds something else than records, and is not replaced"
        raise OutputUnavailable(message, hint="move it away, or name another target: `csv:TARGET`")

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("`recover` comes before the first write")
        return self._file


def _ends_a_line(file: BinaryIO, position: int) -> bool:
    """Say whether a file was written by this sink, and a line ends at a position."""
    if file.read(len(BEGINNING)) != BEGINNING:
        return False
    file.seek(position - len(LINE_END))
    return file.read(len(LINE_END)) == LINE_END


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
        return CsvSink(run.output / target)


def _cell(value: Any) -> Any:
    """Return texts and numbers as they are, lists of texts with semicolons between, the rest as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value
