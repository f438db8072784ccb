"""Evidence that was found before, kept on the disk: looking at a photo again costs nothing.

It is a cache: it may be deleted at any time, and whatever goes wrong with it only costs a look at the photo.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orjson

from olpipe.record import Evidence

logger = logging.getLogger(__name__)

MOST_ENTRIES = 200_000
"""The oldest beyond this go. An entry takes about a kilobyte."""

TIMEOUT_S = 5.0
"""How long another process may keep the file to itself."""

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
        """Use a file, which is made when something is kept."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False

    def get(self, image: str, perceiver: str, version: str, look: Callable[[], Evidence]) -> Evidence:
        """Return what is known of an image, or look at it and keep what was found.

        Args:
            image: The image's digest.
            perceiver: Who looks.
            version: The perceiver's version.
            look: Looks at the image.
        """
        key = (image, perceiver, version)
        found = self._run("SELECT json FROM evidence WHERE image = ? AND perceiver = ? AND version = ?", key)
        if found is not None:
            with suppress(ValueError, KeyError, TypeError):  # an entry of another kind: look again
                return Evidence.from_json(orjson.loads(found))
        evidence = look()
        with suppress(TypeError):  # values that JSON cannot say are not kept
            self._run("REPLACE INTO evidence VALUES (?, ?, ?, ?)", (*key, orjson.dumps(asdict(evidence))))
        return evidence

    def close(self) -> None:
        """Let go of the file."""
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
        return None if row is None else bytes(row[0])

    def _give_up(self, error: Exception) -> None:
        """Do without the file from here on; one that is damaged goes, so that the next one is sound."""
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
        """Set the file up; False where another process is at it, which SQLite does not always wait for."""
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
