"""Which pictures have been seen, so that a picture is described once, whatever file it is in."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from typing import Any


class Pictures:
    """The pictures that have a record, or that somebody is describing. Any thread may call it.

    It lies in a temporary file, so that it takes little memory however many there are. A copy that is sent to another
    process begins empty there.
    """

    def __init__(self) -> None:
        """Make an empty collection."""
        self._lock = threading.Lock()
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute("CREATE TABLE claims(picture BLOB PRIMARY KEY, name TEXT) WITHOUT ROWID")

    def __reduce__(self) -> tuple[Any, ...]:
        return Pictures, ()

    def add(self, pictures: Iterable[bytes]) -> None:
        """Add pictures that have a record, by their digests."""
        with self._lock:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR IGNORE INTO claims VALUES (?, NULL)", ((one,) for one in pictures))
            self._connection.execute("COMMIT")

    def claim(self, picture: bytes, name: str) -> bool:
        """Say whether a photo is the first with its picture, and has to be described.

        The answer comes at once. Nobody waits for another photo, so whoever gets False leaves the record to the ledger.

        Args:
            picture: The picture's digest.
            name: The photo's name. A photo that asks again, because its work was begun once more, is still the first.
        """
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (picture, name))
            found = self._connection.execute("SELECT name FROM claims WHERE picture = ?", (picture,)).fetchone()
        return bool(found[0] == name)

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            self._connection.close()
