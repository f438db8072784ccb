"""Read the paths in one column of a table: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

from olpipe.errors import UsageError, nearest

DELIMITERS = (",", ";", "\t")
"""What may stand between the cells of a CSV file: the one with which its first line names the column."""

_PARQUET = b"PAR1"
_MARK = "\ufeff"
_MOST_NAMED = 12
_LONGEST_CELL = 1 << 24  # a row may hold a long text besides the path


def paths_in(table: IO[bytes], column: str) -> list[str]:
    """Return the paths in a column of a table, in the order of its rows. Empty cells do not count.

    A file that begins like Parquet is read as that, any other one as CSV, with the names of the columns in its first
    line. Paths in CSV have the encoding of file names; a byte order mark does not count.

    Args:
        table: The table.
        column: The column's name.

    Raises:
        UsageError: There is no such column, its values are no texts, the table is damaged, or pyarrow is missing.
    """
    file = str(getattr(table, "name", ""))
    name = "the table" if file in ("", "<stdin>", "-") else f"`{file}`"
    start = table.read(len(_PARQUET))
    if start == _PARQUET:
        return _from_parquet(_whole(table, start), column, name)
    return _from_csv(os.fsdecode(start + table.read()), column, name)


def _from_csv(text: str, column: str, name: str) -> list[str]:
    text = text.removeprefix(_MARK)
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        headers = {mark: next(_rows(text, mark), []) for mark in DELIMITERS}
        found = [mark for mark, columns in headers.items() if column in columns]
        if not found:
            raise _no_column(column, max(headers.values(), key=len), name)
        place = headers[found[0]].index(column)
        return [row[place] for row in islice(_rows(text, found[0]), 1, None) if len(row) > place and row[place]]
    except csv.Error as error:
        raise UsageError(f"{name} cannot be read as CSV: {error}") from error
    finally:
        csv.field_size_limit(before)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _from_parquet(table: IO[bytes], column: str, name: str) -> list[str]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        hint = "run `pip install pyarrow`; the plugin `olpipe-parquet` brings it, too"
        raise UsageError(f"{name} is a Parquet file, and reading it needs the package `pyarrow`", hint=hint) from error
    try:
        file = pq.ParquetFile(table)
        if column not in file.schema_arrow.names:
            raise _no_column(column, file.schema_arrow.names, name)
        kind = file.schema_arrow.field(column).type
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(values) or pa.types.is_large_string(values) or pa.types.is_string_view(values)):
            raise UsageError(f"the column `{column}` of {name} holds `{kind}`, and paths are texts")
        parts = (batch.column(0).to_pylist() for batch in file.iter_batches(columns=[column]))
        return [path for part in parts for path in part if path]
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _whole(table: IO[bytes], start: bytes) -> IO[bytes]:
    """Return a table of which the start was read, at its beginning and with all of it within reach."""
    if table.seekable():
        table.seek(0)
        return table
    return io.BytesIO(start + table.read())


def _no_column(column: str, columns: Sequence[str], name: str) -> UsageError:
    named = ", ".join(f"`{one}`" for one in columns[:_MOST_NAMED])
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    close = " or ".join(f"`{one}`" for one in nearest(column, columns))
    hint = f"did you mean {close}?" if close else f"it has {named}{more}" if named else "its first line is empty"
    return UsageError(f"{name} has no column `{column}`", hint=hint)
