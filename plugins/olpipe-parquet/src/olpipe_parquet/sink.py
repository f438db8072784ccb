"""Writes records to the parts of a dataset, each with the same number of rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from olpipe.interfaces import Sink
from olpipe.record_columns import JsonSchema, record_columns
from olpipe_parquet.columns import Rows, arrow_schema
from olpipe_parquet.parts import Parts

ROWS_OF_PART = 1000
"""A part with so many rows is never written again. The last one is, at every flush, until it has so many."""

_CHECK_BITS = 24


class ParquetSink(Sink):
    """Appends rows to a folder of Parquet files.

    A Parquet file cannot grow: its footer is written last. So each flush replaces the last part by one that has the new
    rows, too. A position holds how many rows there are, and a checksum: of the bytes of the full parts, and of the rows
    of the last one. So it is found again when the last part has got more rows since.
    """

    def __init__(self, folder: Path, schema: JsonSchema) -> None:
        """Open nothing yet: `recover` comes first."""
        self._parts = Parts(folder)
        self._schema = schema
        self._is_open = False
        self._replaces = False  # the parts that are there go at the first flush
        self._recognised = False  # the parts are as the position says
        self._behind = False  # there are rows behind the position
        self._reset()

    def _reset(self) -> None:
        self._rows: Rows | None = None
        self._last: pa.Table | None = None  # the rows of the last part that are written
        self._new: list[dict[str, Any]] = []  # those that are not
        self._count = self._full_check = self._last_check = 0

    def recover(self, position: int) -> bool:
        """Go on behind a position, where the parts are as they were written; 0 begins a new dataset."""
        replaceable = self._recognised
        self.close()
        self._recognised = False
        if position == 0:
            if not replaceable:
                self._parts.refuse_others()
            self._recognised, self._replaces, self._is_open = replaceable, True, True
            return True
        try:
            self._recognised = self._is_open = self._reach(position >> _CHECK_BITS) and self._position() == position
        except (OSError, ValueError, pa.ArrowException):  # pyarrow has many errors for a damaged file
            self._recognised = self._is_open = False
        if not self._is_open:
            self._reset()
        return self._is_open

    def _reach(self, count: int) -> bool:
        """Read the parts of the first `count` rows; say whether they are there."""
        full, last = divmod(count, ROWS_OF_PART)
        if self._parts.others():
            return False
        for number in range(full):
            self._full_check = zlib.crc32(self._parts.path(number).read_bytes(), self._full_check)
        self._behind = len(self._parts.numbers()) > full + bool(last)
        if last:
            table = pq.read_table(pa.BufferReader(self._parts.path(full).read_bytes()))
            if table.num_rows < last:
                return False
            self._behind |= table.num_rows > last
            self._last = table.slice(0, last)
            for row in self._last.to_pylist():
                self._last_check = zlib.crc32(orjson.dumps(row), self._last_check)
        self._rows = Rows(pq.read_schema(self._parts.path(0)))
        self._count = count
        return True

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row. The first one decides the columns, with the schema."""
        self._check_open()
        if self._rows is None:
            self._rows = Rows(arrow_schema(record_columns(row, self._schema)))
        fitted = self._rows.row(row)
        self._new.append(fitted)
        self._last_check = zlib.crc32(orjson.dumps(fitted), self._last_check)
        self._count += 1
        if self._count % ROWS_OF_PART == 0:
            self._full_check = zlib.crc32(self._stage(), self._full_check)
            self._last, self._last_check = None, 0

    def flush(self) -> int:
        """Let readers see every row, and return the position."""
        self._check_open()
        if self._new or (self._behind and self._last is not None):
            self._stage()
        if self._replaces and not self._recognised:
            self._parts.set_aside()
        self._parts.commit(0 if self._replaces else -(-self._count // ROWS_OF_PART))
        self._replaces, self._behind, self._recognised = False, False, True
        return self._position()

    def close(self) -> None:
        """Let go of the folder. Rows after the last `flush` are lost."""
        self._parts.drop_staged()
        self._is_open = self._replaces = self._behind = False
        self._reset()

    def _stage(self) -> bytes:
        """Write the last part with its new rows, and return its bytes."""
        assert self._rows is not None
        tables = [self._last] if self._last is not None else []
        tables.append(pa.Table.from_pylist(self._new, schema=self._rows.schema))
        self._last, self._new = pa.concat_tables(tables).combine_chunks(), []
        stream = pa.BufferOutputStream()
        pq.write_table(self._last, stream, compression="zstd", write_page_checksum=True)
        data: bytes = stream.getvalue().to_pybytes()
        self._parts.stage((self._count - 1) // ROWS_OF_PART, data)
        return data

    def _position(self) -> int:
        if not self._count:
            return 0
        check = zlib.crc32(struct.pack(">II", self._full_check, self._last_check))
        return self._count << _CHECK_BITS | check & ((1 << _CHECK_BITS) - 1)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError("`recover` comes before the first write")
