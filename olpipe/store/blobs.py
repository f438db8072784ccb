"""Blobs: files named by the digest of their bytes, written once and never changed."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock

from olpipe.store import digests
from olpipe.store.writing import writing

_NAME = re.compile(r"sha256-([0-9a-f]{64})")


class Blobs:
    """The blobs of one store. A blob under its final name is always whole.

    A blob's modification time is the last time a pull asked for it or brought it. That is how a
    removal knows those that a pull still in progress counts on.
    """

    def __init__(self, folder: Path, *, incoming: Path, lock: BaseFileLock) -> None:
        """Look at a folder of blobs.

        Args:
            folder: Where they are.
            incoming: Where they grow, on the same file system.
            lock: Held for as long as a blob appears, is claimed or disappears.
        """
        self._folder = folder
        self._incoming = incoming
        self._lock = lock

    def path(self, digest: str) -> Path:
        """Return where the blob of that digest is or would be."""
        return self._folder / f"sha256-{digests.hex_of(digest)}"

    def size(self, digest: str) -> int | None:
        """Return the size of a blob, or None when there is none. A link is none."""
        try:
            found = self.path(digest).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read(self, digest: str, *, limit: int) -> bytes:
        """Return the bytes of a small blob.

        Raises:
            ValueError: It is missing, or larger than `limit` bytes.
        """
        size = self.size(digest)
        if size is None or size > limit:
            raise ValueError(f"the blob {digest} is missing" if size is None else f"the blob {digest} is too large")
        return self.path(digest).read_bytes()

    def claim(self, digest: str) -> bool:
        """Say whether a blob is here and, if so, keep removals away from it until a manifest names it."""
        if self.size(digest) is None:
            return False
        with writing(self._folder), self._lock, suppress(FileNotFoundError):
            os.utime(self.path(digest))
            return True
        return False

    def add(self, source: BinaryIO, *, digest: str | None, what: str, report: Callable[[int], None]) -> tuple[str, int]:
        """Copy a stream in and return its digest and size; the digest is always computed from the bytes copied.

        Args:
            source: Read to its end.
            digest: What the bytes must be, or None.
            what: What to call the stream in a message.
            report: Called with the bytes copied so far.

        Raises:
            DigestMismatch: The bytes are others.
            DiskFull: There was no space.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="blob-", dir=self._incoming)
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as target:
                    found = digests.copy(source, target, report)
                    size = target.tell()
                    target.flush()
                    os.fsync(target.fileno())  # or a power cut could leave an empty file under the final name
                digests.check(found, digest, what)
                self._settle(temporary, self.path(found))
            finally:
                temporary.unlink(missing_ok=True)
        return found, size

    def _settle(self, temporary: Path, final: Path) -> None:
        with self._lock:
            os.utime(temporary)
            try:
                os.replace(temporary, final)
            except PermissionError:
                # Windows keeps a file that somebody reads; the same digest is the same bytes.
                if not final.is_file():
                    raise

    def entries(self) -> Iterator[tuple[str, float]]:
        """Yield the digest and touch time of every blob; other files in the folder are not ours."""
        if not self._folder.is_dir():
            return
        with os.scandir(self._folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    yield f"sha256:{match[1]}", entry.stat(follow_symlinks=False).st_mtime

    def touched_at(self, digest: str) -> float | None:
        """Return when a pull last brought or claimed a blob, or None when there is no such blob."""
        return None if self.size(digest) is None else self.path(digest).stat().st_mtime

    def discard(self, digest: str) -> None:
        """Delete a blob; one that is gone or in use is left alone."""
        with suppress(FileNotFoundError, PermissionError):
            self.path(digest).unlink()
