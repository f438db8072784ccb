"""The sink `csv`: one line a record, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.interfaces import RunInfo, Sink, SinkFactory


class CsvSink(Sink):
    """Appends lines to a file; its positions are byte offsets. The first record decides the columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._columns: list[str] = []

    def recover(self, position: int) -> bool:
        """Cut the file at a position, and read the columns from what is left."""
        if position > (self._path.stat().st_size if self._path.exists() else 0):
            return False
        file = self._path.open("r+b" if position else "w+b")
        file.truncate(position)
        first_line = file.readline().decode("utf-8")
        file.seek(position)
        self._file, self._columns = file, next(csv.reader([first_line]), [])
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
        return file.tell()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _append(self, cells: Mapping[str, Any]) -> None:
        line = io.StringIO()
        csv.DictWriter(line, self._columns, lineterminator="\r\n").writerow(cells)  # as RFC 4180 has it
        self._opened().write(line.getvalue().encode("utf-8"))

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("`recover` comes before the first write")
        return self._file


class CsvSinkFactory(SinkFactory):
    """Opens CSV files, for records that all have the same columns."""

    scheme = "csv"

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Refuse schemas whose records may lack a property."""
        required = schema.get("required", ())
        optional = [name for name in schema.get("properties", {}) if name not in required]
        if optional:
            return f"`{optional[0]}` may be missing from a record, and every line of a CSV file has the same columns"
        return None

    def open(self, target: str, run: RunInfo) -> CsvSink:
        """Return a sink for the file at a path."""
        return CsvSink(Path(target))


def _cell(value: Any) -> Any:
    """Return texts and numbers as they are, lists of texts with semicolons between, the rest as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value
