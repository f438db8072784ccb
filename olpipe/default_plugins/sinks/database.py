"""The database that the sink `sqlite` writes.

Its table `records` has a row for each photo, and the table `words` finds photos by their words, in any language.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from olpipe.errors import DiskFull, OutputUnavailable
from olpipe.interfaces import Sink
from olpipe.record import words_read
from olpipe.row_file import set_aside
from olpipe.row_note import RowNote

BEGINNING = b"SQLite format 3\0"
"""Every database begins like this."""

APPLICATION = 0x6F6C7069
"""What the databases of this sink have in their header, as SQLite's `application_id`."""

_APPLICATION_AT = 68
_CHECK_BITS = 24

# Words are found by any three letters in a row: that works in languages that put no spaces between words, too.
_TABLES = f"""
pragma application_id = {APPLICATION};
create table records (
  number integer primary key,
  file text not null unique,
  title text, description text, alt text, tags text, text text,
  record text not null,
  checksum integer not null
);
create virtual table words using fts5(file, title, description, alt, tags, text, content=records,
  content_rowid=number, tokenize='trigram');
create trigger records_insert after insert on records begin
  insert into words(rowid, file, title, description, alt, tags, text)
  values (new.number, new.file, new.title, new.description, new.alt, new.tags, new.text);
end;
create trigger records_delete after delete on records begin
  insert into words(words, rowid, file, title, description, alt, tags, text)
  values ('delete', old.number, old.file, old.title, old.description, old.alt, old.tags, old.text);
end;
create trigger records_update after update on records begin
  insert into words(words, rowid, file, title, description, alt, tags, text)
  values ('delete', old.number, old.file, old.title, old.description, old.alt, old.tags, old.text);
  insert into words(rowid, file, title, description, alt, tags, text)
  values (new.number, new.file, new.title, new.description, new.alt, new.tags, new.text);
end;
"""


class SqliteSink(Sink):
    """Appends rows to the table `records`.

    A position holds how many rows there are, and a checksum of them. Rows are written in one transaction for each
    `flush`. A database that starts over is a new file, which replaces the old one at the first `flush`.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet: `recover` comes first."""
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        self._note = RowNote(path)
        self._database: sqlite3.Connection | None = None
        self._replaces = False
        self._recognised = False  # the rows are as the position says
        self._count = self._checksum = 0

    def recover(self, position: int) -> bool:
        """Go on behind a position, where the rows are as they were written; 0 begins a new database."""
        self._recognised = self._recognised or self._is_new()
        self.close()
        if position == 0:
            if not self._recognised:
                self._refuse_others()
            self._start_over()
            return True
        if not self._is_ours():
            return False
        count, mark = position >> _CHECK_BITS, position & ((1 << _CHECK_BITS) - 1)
        try:
            database = self._opened(self._path)
            with self._telling():
                database.execute("select text from records limit 0")  # databases of older versions lack this column
                check = _checked(database, count)
                if check is None or _mark(check) != mark:
                    self.close()
                    return False
                database.execute("delete from records where number > ?", (count,))
        except (OutputUnavailable, sqlite3.DatabaseError):
            self.close()
            return False
        self._count, self._checksum, self._recognised = count, check, True
        return True

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed, where there is one for each of these photos."""
        self.close()
        if not self._is_ours():
            return False
        try:
            database = self._opened(self._path)
            database.execute("select text from records limit 0")
            kept = sorted(file for (file,) in database.execute("select file from records")) == sorted(files)
            self._count = database.execute("select coalesce(max(number), 0) from records").fetchone()[0]
            self._checksum = _checked(database, self._count) or 0
        except (OutputUnavailable, sqlite3.DatabaseError):
            kept = False
        if not kept:
            self.close()
        self._recognised = kept
        return kept

    def write(self, row: Mapping[str, Any]) -> None:
        """Insert one row."""
        import orjson

        record = orjson.dumps(row)
        self._count += 1
        self._checksum = zlib.crc32(record, self._checksum)
        texts = (_text(row.get(name)) for name in ("title", "description", "alt", "tags"))
        read = "\n".join(words_read(row)) or None
        values = (self._count, row["file"], *texts, read, record.decode(), zlib.crc32(record))
        with self._telling():
            self._open.execute(f"insert into records values ({', '.join('?' * len(values))})", values)

    def flush(self) -> int:
        """Commit every row and return the position."""
        with self._telling():
            self._open.commit()
        if self._replaces:
            self._open.close()
            self._database, self._replaces = None, False
            if not self._recognised and self._path.exists() and self._path.stat().st_size:
                set_aside(self._path)
            self._note.add((0, 0), (self._count, self._checksum))
            self._drop_journal()
            os.replace(self._fresh, self._path)
            self._recognised = True
            self._database = self._opened(self._path)
        self._note.settle()
        return self._count << _CHECK_BITS | _mark(self._checksum) if self._count else 0

    def close(self) -> None:
        """Close the database. Rows after the last `flush` are lost."""
        if self._database is not None:
            self._database.close()
            if self._replaces:
                self._fresh.unlink(missing_ok=True)
        self._note.close()
        self._database, self._replaces = None, False
        self._count = self._checksum = 0

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise ValueError("`recover` comes before the first write")
        return self._database

    def _is_new(self) -> bool:
        """Say whether the database took the place of another one just before a run was killed."""
        mark = self._note.replaced()
        if mark is None or not self._is_ours():
            return False
        try:
            with closing(sqlite3.connect(self._path)) as database:
                (count,) = database.execute("select count(*) from records").fetchone()
                return (count, _checked(database, count)) == mark
        except sqlite3.DatabaseError:
            return False

    def _drop_journal(self) -> None:
        """Remove what a killed run wrote to take changes of the old database back: it would damage the new one."""
        self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)

    def _start_over(self) -> None:
        self._fresh.parent.mkdir(parents=True, exist_ok=True)
        self._fresh.unlink(missing_ok=True)
        self._replaces = True
        with self._telling():
            self._opened(self._fresh).executescript(_TABLES)

    def _opened(self, path: Path) -> sqlite3.Connection:
        with self._telling():
            self._database = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
            self._database.execute("pragma synchronous = full")
        return self._database

    def _is_ours(self) -> bool:
        """Say whether the file begins as the databases of this sink do, and looks whole."""
        head = self._head()
        return len(head) == 100 and head.startswith(BEGINNING) and _application(head) == APPLICATION

    def _refuse_others(self) -> None:
        """Refuse to replace a file that is not the sink's. What is left of the sink's own may end anywhere."""
        head = self._head()
        begins = BEGINNING.startswith(head[: len(BEGINNING)])
        if not begins or (len(head) == 100 and _application(head) != APPLICATION):
            raise OutputUnavailable(
                f"`{self._path}` holds something else than records, and is not replaced",
                hint="move it away, or name another target: `sqlite:TARGET`",
            )

    def _head(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(100)
        except FileNotFoundError:
            return b""

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise DiskFull(f"there is no space left for `{self._path}`", hint="make room, and run again") from error
            raise OutputUnavailable(f"`{self._path}` cannot be written: {error}", hint="look who uses it") from error


def _checked(database: sqlite3.Connection, count: int) -> int | None:
    """Return the checksum of the first rows; None where they are not all there, or one was changed."""
    check = found = 0
    for record, checksum in database.execute(
        "select record, checksum from records where number <= ? order by number", (count,)
    ):
        data = record.encode()
        if zlib.crc32(data) != checksum:
            return None
        check, found = zlib.crc32(data, check), found + 1
    return check if found == count else None


def _mark(check: int) -> int:
    return check & ((1 << _CHECK_BITS) - 1)


def _application(head: bytes) -> int:
    return int.from_bytes(head[_APPLICATION_AT : _APPLICATION_AT + 4], "big")


def _text(value: Any) -> str | None:
    """Return a value as it is searched: a text as it is, and a list of texts with semicolons between."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    return value if isinstance(value, str) else None
