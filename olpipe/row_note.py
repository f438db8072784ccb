"""A note beside a file of rows: it says beforehand what is about to be written, so that this is known after a kill.

Between writing rows and telling its caller, a process may be killed. The next one finds rows that nobody told it of.
Only the note shows that they are not somebody else's.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_ENTRY = struct.Struct("<QI")
Mark = tuple[int, int]
"""The length of a file in bytes, and the CRC-32 checksum of so many bytes of it."""


class RowNote:
    """The note of one file. It holds the mark behind which rows are written, and the mark behind each of them."""

    def __init__(self, path: Path) -> None:
        """Make an object for the note of a file. Nothing is written yet."""
        self._path = path.with_name(f".{path.name.removeprefix('.')}.note")
        self._file: BinaryIO | None = None
        self._is_settled, self._is_spent = True, False

    def add(self, before: Mark, after: Mark) -> None:
        """Note a row before it is written. The first one after `settle` begins the note anew.

        Args:
            before: The file without the row.
            after: The file with it.
        """
        if self._file is None:
            self._file = open(self._path, "wb", buffering=0)  # noqa: SIM115 - closed by `close`
        if self._is_settled:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(_ENTRY.pack(*before))
            self._is_settled = False
        self._file.write(_ENTRY.pack(*after))

    def settle(self) -> None:
        """Take note that all rows are written. They are remembered until the next one comes."""
        self._is_settled = self._is_spent = True

    def doubt(self) -> None:
        """Keep the note when it is closed, because nobody was told of the rows."""
        self._is_spent = False

    def close(self) -> None:
        """Remove the note, where all rows are settled. That of a killed run stays until the next rows are."""
        if self._file is not None:
            self._file.close()
        if self._is_settled and self._is_spent:
            self._path.unlink(missing_ok=True)
        self._file, self._is_settled, self._is_spent = None, True, False

    def covers(self, before: Mark, behind: bytes) -> bool:
        """Say whether a file was written as noted.

        Args:
            before: The mark of its beginning.
            behind: All that follows. The last row may be torn.
        """
        start, *rows = self._read() or [(-1, 0)]
        if start != before:
            return False
        done, check = before
        for length, expected in rows:
            row = behind[done - before[0] : length - before[0]]
            if len(row) < length - done:
                return True  # a torn row, or the first of those that were not written any more
            check = zlib.crc32(row, check)
            if check != expected:
                return False
            done = length
        return done - before[0] == len(behind)

    def replaced(self) -> Mark | None:
        """Return the mark of the file that was about to take the place of another one; None where none was."""
        marks = self._read()
        return marks[1] if len(marks) == 2 and marks[0] == (0, 0) else None

    def _read(self) -> list[Mark]:
        try:
            data = self._path.read_bytes()
        except OSError:
            return []
        whole = len(data) // _ENTRY.size * _ENTRY.size
        return [(length, check) for length, check in _ENTRY.iter_unpack(data[:whole])]
