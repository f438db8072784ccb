"""Evidence that was found before, kept on the disk, so that no photo has to be looked at twice.

It is a cache: it may be deleted at any time. If something goes wrong with it, photos are looked at again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orjson

from olpipe.record import Evidence

logger = logging.getLogger(__name__)

MOST_ENTRIES = 200_000
"""If there are more, the oldest are deleted. An entry takes about a kilobyte."""

TIMEOUT_S = 5.0
"""How long to wait while another process has the file locked."""

POLL_S = 0.05

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence(
  image TEXT NOT NULL, perceiver TEXT NOT NULL, version TEXT NOT NULL, json BLOB NOT NULL,
  PRIMARY KEY(image, perceiver, version)
)
"""


class EvidenceCache:
    """Evidence by image, perceiver and the perceiver's version. Any thread may call it."""

    def __init__(self, path: Path) -> None:
        """Use a file. It is made when it is needed for the first time."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False

    def get(self, image: str, perceiver: str, version: str, look: Callable[[], Evidence]) -> Evidence:
        """Return the evidence that is known of an image, or look at the image and keep what was found.

        Args:
            image: The image's digest.
            perceiver: The perceiver's name.
            version: The perceiver's version.
            look: Has the perceiver look at the image.
        """
        key = (image, perceiver, version)
        found = self._run("SELECT json FROM evidence WHERE image = ? AND perceiver = ? AND version = ?", key)
        if found is not None:
            with suppress(ValueError, KeyError, TypeError):  # the entry has another form: look again
                return Evidence.from_json(orjson.loads(found))
        evidence = look()
        with suppress(TypeError):  # values that JSON cannot hold are not kept
            self._run("REPLACE INTO evidence VALUES (?, ?, ?, ?)", (*key, orjson.dumps(asdict(evidence))))
        return evidence

    def outdated(self, perceivers: Collection[tuple[str, str]]) -> tuple[int, int]:
        """Return how many entries are of other perceivers or versions, and how many bytes they have.

        Args:
            perceivers: The name and the version of each perceiver that there is.
        """
        if not self._path.is_file():
            return 0, 0
        where, values = _of_others(perceivers)
        found = self._run(f"SELECT count(*) || ' ' || coalesce(sum(length(json)), 0) FROM evidence{where}", values)
        count, size = (0, 0) if found is None else map(int, found.split())
        return count, size

    def discard_outdated(self, perceivers: Collection[tuple[str, str]]) -> None:
        """Delete the entries of other perceivers or versions, and give their space back."""
        if self._path.is_file() and self.outdated(perceivers)[0]:
            where, values = _of_others(perceivers)
            self._run(f"DELETE FROM evidence{where}", values)
            self._run("VACUUM", ())

    def close(self) -> None:
        """Close the file. The cache keeps nothing from then on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._broken = None, True

    def _run(self, statement: str, values: tuple[str | bytes, ...]) -> bytes | None:
        with self._lock:
            if self._broken:
                return None
            try:
                row = self._opened().execute(statement, values).fetchone()
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
                return None
        return None if row is None else row[0].encode() if isinstance(row[0], str) else bytes(row[0])

    def _give_up(self, error: Exception) -> None:
        """Stop using the file. If it is damaged, delete it, so that the next process makes a sound one."""
        logger.debug("the cache of evidence cannot be used: %s", error)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection, self._broken = None, True
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            for path in (self._path, *(self._path.with_name(self._path.name + end) for end in ("-wal", "-shm"))):
                with suppress(OSError):
                    path.unlink()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            deadline_s = time.monotonic() + TIMEOUT_S
            while not self._prepare(self._connection, last=time.monotonic() > deadline_s):
                time.sleep(POLL_S)
        return self._connection

    def _prepare(self, connection: sqlite3.Connection, *, last: bool) -> bool:
        """Set the file up. Return False where another process has it locked, which SQLite does not always wait for."""
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_SCHEMA)
            connection.execute(
                "DELETE FROM evidence WHERE rowid <= (SELECT max(rowid) - ? FROM evidence)", (MOST_ENTRIES,)
            )
        except sqlite3.OperationalError as error:
            if last or error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return False
        return True


def _of_others(perceivers: Collection[tuple[str, str]]) -> tuple[str, tuple[str, ...]]:
    """Return a condition for the entries of others than some perceivers, and the values in it."""
    conditions = " AND ".join("NOT (perceiver = ? AND version = ?)" for _ in perceivers)
    return f" WHERE {conditions}" if conditions else "", tuple(text for one in perceivers for text in one)
