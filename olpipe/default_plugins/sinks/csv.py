"""The sink `csv`: a table for spreadsheets, with one line for each record.

The file begins with a byte order mark, because Excel takes a UTF-8 file without one for one of the system's own
encoding, and shows Chinese as garbage. A text that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.record import TEXT, words_read
from olpipe.record_columns import REST, JsonSchema, properties_of, record_columns
from olpipe.row_file import RowFile

BEGINNING = codecs.BOM_UTF8 + b"file"
"""Every file begins with the mark and the name of its first column. One that begins otherwise is somebody else's."""

LINE_END = "\r\n"
BETWEEN = "; "
"""What stands between the values of a list."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A cell that begins with one of these, behind spaces or not, may be calculated and not shown.

Source: https://owasp.org/www-community/attacks/CSV_Injection
"""

MARK = "'"
"""What is put before such a cell."""


class CsvSink(Sink):
    """Appends lines to a file. The schema and the first record decide the columns, and the file keeps them."""

    def __init__(self, path: Path, schema: JsonSchema) -> None:
        """Open nothing yet: `recover` comes first."""
        self._path = path
        self._schema = schema
        hint = "move it away, or name another target: `csv:TARGET`"
        foreign = "holds something else than records"
        self._rows = RowFile(path, beginning=BEGINNING, end=LINE_END.encode(), foreign=foreign, hint=hint)
        self._columns: tuple[str, ...] = ()

    def recover(self, position: int) -> bool:
        """Go on behind a position, with the columns that the file has; 0 begins a new file."""
        reached = self._rows.recover(position)
        self._columns = self._columns_there() if position and reached else ()
        return reached

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind lines that somebody has changed, where each is still the record of one of these photos."""
        kept = self._rows.keep(files, _names)
        self._columns = self._columns_there() if kept else ()
        return kept

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; before the first, the columns' names."""
        self._rows.opened()
        if not self._columns:
            self._columns = (*_flat(record_columns(row, self._schema)), REST)
            self._rows.append(codecs.BOM_UTF8)
            self._append(self._columns)
        self._append(_cells(row, self._columns))

    def flush(self) -> int:
        """Bring every line to the disk and return the position."""
        return self._rows.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def _append(self, cells: Sequence[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator=LINE_END).writerow(map(_guarded, cells))  # as RFC 4180 has it
        self._rows.append(line.getvalue().encode("utf-8"))

    def _columns_there(self) -> tuple[str, ...]:
        with self._path.open(encoding="utf-8-sig", newline="", errors="replace") as lines:
            return tuple(map(_unguarded, next(csv.reader(lines), [])))


def _flat(schemas: Mapping[str, JsonSchema], within: str = "") -> Iterator[str]:
    """Yield the columns of values with these schemas. An object has one for each property, like `image.width`."""
    for name, schema in schemas.items():
        if properties := properties_of(schema):
            yield from _flat(properties, f"{within}{name}.")
        else:
            yield f"{within}{name}"


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    """Return a cell for each column. The last column takes what has none, where the file has that column."""
    cells: dict[str, Any] = {}
    rest: dict[str, Any] = {}

    def put(name: str, value: Any) -> None:
        if name in known:
            cells[name] = _cell(value)
        elif isinstance(value, Mapping) and name in split:
            for key, part in value.items():
                put(f"{name}.{key}", part)
        elif value is not None:
            rest[name] = value

    known = set(columns)
    split = {name[:end] for name in columns for end, character in enumerate(name) if character == "."}
    for key, value in row.items():
        put(key, words_read(row) if key == TEXT else value)
    found = [cells.get(name) for name in columns]
    if rest and columns[-1] == REST:
        found[-1] = _json(rest)
    return found


def _cell(value: Any) -> Any:
    """Return texts and numbers as they are, lists of them with semicolons between, and the rest as JSON."""
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return BETWEEN.join("" if item is None else item if isinstance(item, str) else _json(item) for item in value)
    return _json(value) if isinstance(value, dict | list | bool) else value


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _guarded(cell: Any) -> Any:
    """Put a mark before a text that a spreadsheet would calculate. Numbers stay as they are.

    A text that looks as if it had a mark gets another one. So nothing is lost: `_unguarded` takes one away.
    """
    return MARK + cell if isinstance(cell, str) and _is_formula(cell) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith(MARK) and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    return text.lstrip(MARK + " ").startswith(FORMULAS)


def _names(file: BinaryIO) -> Iterator[str]:
    """Yield the photo's name of each line but the first, which names the columns."""
    lines = csv.reader(io.StringIO(file.read().decode("utf-8-sig"), newline=""), strict=True)
    try:
        columns = next(lines, [])
        if columns[:1] != ["file"]:
            raise ValueError("the first line does not name the columns")
        for cells in lines:
            if not cells:
                continue  # an empty line
            if len(cells) != len(columns):
                raise ValueError("a line does not have a cell for each column")
            yield _unguarded(cells[0])
    except csv.Error as error:
        raise ValueError("the file is no CSV") from error


class CsvSinkFactory(SinkFactory):
    """Opens CSV files. They take records of any schema."""

    scheme = "csv"
    usual_target = "records.csv"

    def open(self, target: str, run: RunInfo) -> CsvSink:
        """Return a sink for the file at a path."""
        return CsvSink(run.output / target, run.schema)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (CsvSinkFactory(),)
