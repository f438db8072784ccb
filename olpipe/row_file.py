"""A file that grows by rows, for sinks. Its positions tell whether it is still as it was written.

A position holds the length of the file and a checksum of its bytes. So it is noticed when somebody has changed, cut or
replaced the file. What it held is kept beside the new file then, as `NAME.1`, `NAME.2` and so on.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.row_note import RowNote

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_CHECK_BITS = 22
_CHANGED = 1 << _CHECK_BITS  # this bit of a position says that somebody changed the rows before it
_LENGTH_AT = _CHECK_BITS + 1
_LARGEST_LENGTH = 1 << 40


class RowFile:
    """Appends bytes to a file. A sink calls it as the pipeline calls the sink."""

    def __init__(self, path: Path, *, beginning: bytes, end: bytes = b"\n", foreign: str, hint: str) -> None:
        """Open nothing yet.

        Args:
            path: The file.
            beginning: Every file of the sink begins with these bytes.
            end: Every row ends with these bytes.
            foreign: What the error says about a file that begins in another way, after its name.
            hint: What the user can do about it.
        """
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        self._beginning, self._end = beginning, end
        self._foreign, self._hint = foreign, hint
        self._file: BinaryIO | None = None
        self._note = RowNote(path)
        self._torn = False  # what lies behind the position is what a killed run has left there
        self._replaces = False
        self._changed = False  # somebody changed the rows, and they were kept
        self._recognised = False  # the rows are as the position says; else they may be somebody else's
        self._replaceable = False  # nothing is lost when the file is replaced
        self._unended = False  # the last row lacks its end
        self._length = self._check = 0
        self._tail = b""  # what lies behind the position: rows that were never committed, or somebody's own lines
        self._tail_at = 0  # up to here, the tail is equal to rows that were written since

    @property
    def length(self) -> int:
        """Length of the file with all rows, in bytes."""
        return self._length

    def entries(self, length: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows that are JSON objects, as they are in the file now. A torn line is passed over.

        Args:
            length: How many bytes of the file count; None counts all.
        """
        import orjson

        try:
            lines = self._path.read_bytes()[:length].splitlines()
        except OSError:
            return
        for line in lines:
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(row, dict):
                yield row

    def recover(self, position: int) -> bool:
        """Go on behind a position that `flush` returned, or start over at 0. The file does not change yet.

        Returns:
            True, or False where the file up to the position is not as it was written.

        Raises:
            OutputUnavailable: The file is somebody else's, and would be replaced.
        """
        is_untouched = self._recognised and not self._changed and not self._tail
        self._replaceable = is_untouched or self._is_new()
        self.close()
        if position == 0:
            return self._start_over()
        self._recognised = False
        try:
            file = open(self._path, "r+b")  # noqa: SIM115 - closed by `close`
        except FileNotFoundError:
            return False
        length, changed, mark = _unpack(position)
        check = _checksum(file, length)
        if check is None or (not self._holds_rows(file, length) if mark is None else _mark(check) != mark):
            file.close()
            return False
        self._file, self._length, self._check = file, length, check
        self._changed, self._recognised = changed, True
        file.seek(length)
        self._tail = file.read()
        file.seek(length)
        if self._tail and self._note.covers((length, check), self._tail):
            self._tail, self._torn = b"", True
        return True

    def keep(self, files: Collection[str], names: Callable[[BinaryIO], Iterable[str]]) -> bool:
        """Go on behind rows that somebody has changed, where they are rows of exactly these photos.

        Args:
            files: The names of the photos.
            names: Yields the photo's name of each row in a file. It raises `ValueError` where the file cannot be read.
        """
        self.close()
        try:
            file = open(self._path, "r+b")  # noqa: SIM115 - closed by `close`
        except FileNotFoundError:
            return False
        try:
            kept = sorted(names(file)) == sorted(files)
        except ValueError:
            kept = False
        if not kept:
            file.close()
            return False
        length = file.seek(0, os.SEEK_END)
        self._file, self._length, self._check = file, length, _checksum(file, length) or 0
        self._changed = self._recognised = True
        self._unended = not self._ends_row(file, length)
        file.seek(length)
        logger.warning("`%s` was changed by hand: its rows stay as they are, and new rows follow them", self._path)
        return True

    def append(self, data: bytes) -> None:
        """Append bytes."""
        file = self.opened()
        self._end_last_row()
        self._cut_torn(file)
        if self._tail:
            size = min(len(data), len(self._tail) - self._tail_at)
            if self._tail[self._tail_at : self._tail_at + size] != data[:size]:
                self._set_tail_aside(file)
            else:
                self._tail_at += size
        before = self._length, self._check
        self._length += len(data)
        self._check = zlib.crc32(data, self._check)
        if not self._replaces:
            self._note.add(before, (self._length, self._check))
        file.write(data)

    def flush(self) -> int:
        """Write everything to the disk and return the position."""
        file = self.opened()
        self._end_last_row()
        self._cut_torn(file)
        if self._tail_at < len(self._tail):
            self._set_tail_aside(file)
        self._tail, self._tail_at = b"", 0
        file.flush()
        os.fsync(file.fileno())
        if self._replaces:
            file.close()  # some systems cannot rename a file that is open
            if not self._replaceable:
                self._set_aside()
            self._note.add((0, 0), (self._length, self._check))
            os.replace(self._fresh, self._path)
            self._file, self._replaces, self._recognised = open(self._path, "ab"), False, True  # noqa: SIM115
        self._note.settle()
        if self._length >= _LARGEST_LENGTH:
            raise OutputUnavailable(f"`{self._path}` has become too large", hint="give another folder with `-o`")
        return self._length << _LENGTH_AT | self._changed * _CHANGED | _mark(self._check)

    def doubt(self) -> None:
        """Take note that the last `flush` was not told to the caller: the next run has to know the rows as its own."""
        self._note.doubt()

    def close(self) -> None:
        """Close the file, and remove a new one that has not taken the old one's place."""
        file, replaces = self._file, self._replaces
        self._file, self._replaces, self._torn = None, False, False
        try:
            if file is not None:
                file.close()  # it fails where the disk is full, and rows were not flushed
        finally:
            if replaces:
                self._fresh.unlink(missing_ok=True)
            self._note.close()
        self._length = self._check = self._tail_at = 0
        self._tail, self._unended = b"", False

    def opened(self) -> BinaryIO:
        """Return the open file."""
        if self._file is None:
            raise ValueError("`recover` comes before the first write")
        return self._file

    def _is_new(self) -> bool:
        """Say whether the file took the place of another one just before a run was killed."""
        mark = self._note.replaced()
        if mark is None or not self._path.is_file() or self._path.stat().st_size != mark[0]:
            return False
        with self._path.open("rb") as file:
            return _checksum(file, mark[0]) == mark[1]

    def _cut_torn(self, file: BinaryIO) -> None:
        if self._torn:
            file.truncate(self._length)
            self._torn = False

    def _start_over(self) -> bool:
        """Begin a new file, which replaces the old one at the first flush."""
        if not self._recognised:
            self._refuse_others()
        self._fresh.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._replaces = open(self._fresh, "wb"), True  # noqa: SIM115 - closed by `close`
        self._changed = False
        return True

    def _refuse_others(self) -> None:
        """Refuse to replace a file that begins in another way. What is left of the sink's own may end anywhere."""
        try:
            with self._path.open("rb") as file:
                beginning = file.read(len(self._beginning))
        except FileNotFoundError:
            return
        if not self._beginning.startswith(beginning):
            raise OutputUnavailable(f"`{self._path}` {self._foreign}, and is not replaced", hint=self._hint)

    def _holds_rows(self, file: BinaryIO, length: int) -> bool:
        """Say whether a file begins as the sink's own do, and a row ends at a length."""
        file.seek(0)
        return file.read(len(self._beginning)) == self._beginning and self._ends_row(file, length)

    def _ends_row(self, file: BinaryIO, length: int) -> bool:
        file.seek(max(0, length - len(self._end)))
        return file.read(len(self._end)) == self._end

    def _end_last_row(self) -> None:
        if self._unended:
            self._unended = False
            self.append(self._end)

    def _set_tail_aside(self, file: BinaryIO) -> None:
        """Keep a copy of the file, and cut it where the rows end that are known to be the sink's."""
        self._set_aside()
        file.truncate(self._length)
        self._tail, self._tail_at = b"", 0

    def _set_aside(self) -> None:
        """Keep what the file holds under another name, if it holds anything."""
        if not self._path.exists() or not self._path.stat().st_size:
            return
        aside = set_aside(self._path)
        logger.warning("`%s` was not as the last run left it: what it held is kept as `%s`", self._path, aside.name)


def set_aside(path: Path) -> Path:
    """Copy a file to the first free name of `NAME.1`, `NAME.2` and so on, and return that name."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.{number}")
        try:
            copy = open(aside, "xb")  # noqa: SIM115 - closed below
        except FileExistsError:
            continue
        break
    with copy, path.open("rb") as file:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())
    return aside


def _unpack(position: int) -> tuple[int, bool, int | None]:
    """Return length, whether somebody changed the rows, and their mark; None in positions that were only a length."""
    length = position >> _LENGTH_AT
    if length == 0:
        return position, False, None
    return length, bool(position & _CHANGED), _mark(position)


def _mark(check: int) -> int:
    """Return what a position holds of a checksum."""
    return check & (_CHANGED - 1)


def _checksum(file: BinaryIO, length: int) -> int | None:
    """Return the checksum of a file's first bytes; None where it has fewer."""
    file.seek(0)
    check = 0
    while length:
        data = file.read(min(length, _CHUNK_BYTES))
        if not data:
            return None
        check, length = zlib.crc32(data, check), length - len(data)
    return check
