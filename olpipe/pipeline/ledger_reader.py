"""Read the ledger of an output folder without changing it: several readers at once, and none beside a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from olpipe.errors import OutputBusy, OutputUnavailable, UsageError
from olpipe.pipeline.ledger import LEDGER_PATH, STEPS, VERSION

OLDEST = 2
"""Ledgers of this version and later have the tables that readers ask."""

_RESULT_CODE = 0xFF  # SQLite keeps the details of an error in the bits above


def refuse_missing(output: Path) -> None:
    """Refuse a folder that `olpipe batch` has not written to.

    Raises:
        UsageError: It has no ledger.
        OutputUnavailable: Nobody may look into it.
    """
    try:
        if (output / LEDGER_PATH).is_file():
            return
    except OSError as error:
        raise OutputUnavailable(f"`{output}` cannot be read: {error.strerror}", hint="make it readable") from error
    what = "holds no ledger of `olpipe batch`" if output.exists() else "is not there"
    raise UsageError(f"`{output}` {what}", hint="name the folder that `olpipe batch` wrote to")


class LedgerReader:
    """The ledger of one output folder, to be read. Used from one thread, as a context manager."""

    def __init__(self, output: Path) -> None:
        """Open the ledger. While it is open, no run can begin in the folder.

        Raises:
            UsageError: The folder has no ledger.
            OutputBusy: A run writes there.
            OutputUnavailable: The ledger is damaged, of another version, or cannot be read.
        """
        refuse_missing(output)
        self._output = output
        self._connection = self._opened("mode=rw")
        try:
            version = self._version()
        except BaseException:
            self._connection.close()
            raise
        if not OLDEST <= version <= VERSION:
            self._connection.close()
            older = version in STEPS
            hint = "run the same `olpipe batch` again" if older else "use the version of olpipe that wrote it"
            raise OutputUnavailable(f"`{output}` was written by another version of olpipe", hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one SQL statement that only asks."""
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one SQL statement that only asks."""
        try:
            yield from self.run(statement, values)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Return the first value of a statement's first row; None when there is none."""
        row = next(self.rows(statement, values), None)
        return None if row is None else row[0]

    def _opened(self, how: str) -> sqlite3.Connection:
        # `rw` lets SQLite tidy up the files that it needs beside a ledger; `query_only` refuses everything else
        address = f"{(self._output / LEDGER_PATH).absolute().as_uri()}?{how}"
        try:
            connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None)
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise self._told(error) from error
        return connection

    def _version(self) -> int:
        """Return the ledger's version. A folder that takes no new file is read as it is: nobody writes there."""
        try:
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & _RESULT_CODE
            if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise self._told(error) from error
        except sqlite3.Error as error:
            raise self._told(error) from error
        self._connection.close()
        self._connection = self._opened("mode=ro&immutable=1")
        return int(self.value("PRAGMA user_version"))

    def _told(self, error: sqlite3.Error) -> OutputBusy | OutputUnavailable:
        code = getattr(error, "sqlite_errorcode", 0) & _RESULT_CODE
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return OutputBusy(f"a run is writing to `{self._output}`", hint="wait until it ends")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return OutputUnavailable(f"the ledger in `{self._output}` is damaged: {error}", hint="describe again")
        return OutputUnavailable(f"the ledger in `{self._output}` cannot be read: {error}", hint="make it readable")
