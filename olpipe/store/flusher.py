"""Flush a file to the disk while it is written, in a thread of its own: who writes need not wait for the disk."""

from __future__ import annotations

import os
import threading


class Flusher:
    """Flushes a file now and then. Several threads may write to the file meanwhile."""

    def __init__(self, file: int, every_bytes: int) -> None:
        """Do nothing yet.

        Args:
            file: The descriptor of the file. It stays open until `end` has returned.
            every_bytes: After so many new bytes, the file is flushed.
        """
        self._file = file
        self._every_bytes = every_bytes
        self._changed = threading.Condition()
        self._new_bytes = 0
        self._ended = False
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None

    def wrote(self, count: int) -> None:
        """Take note of bytes that were written.

        Raises:
            OSError: An earlier flush has failed: what was written may not be on the disk.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._new_bytes += count
            if self._new_bytes >= self._every_bytes:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="flushing to the disk", daemon=True)
                    self._thread.start()
                self._changed.notify()

    def end(self) -> None:
        """Flush nothing more, and wait until the last flush has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while self._is_due():
            try:
                getattr(os, "fdatasync", os.fsync)(self._file)
            except OSError as error:
                with self._changed:
                    self._failure = error
                return

    def _is_due(self) -> bool:
        """Wait until something is to be flushed; False at the end."""
        with self._changed:
            while not self._ended and self._new_bytes < self._every_bytes:
                self._changed.wait()
            self._new_bytes = 0
            return not self._ended
