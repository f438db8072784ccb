"""Blobs: files named by the digest of their bytes, written once and never changed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock

from olpipe.errors import DigestMismatch
from olpipe.store import digests
from olpipe.store.writing import new_file, writing

_NAME = re.compile(r"sha256-([0-9a-f]{64})")
_FICLONE = 0x40049409
"""Share a file's blocks. Source: https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html"""


class Blobs:
    """The blobs of one store. A blob under its final name is always whole.

    A blob's modification time is the last time that a pull asked for it or brought it. So a removal can tell which
    blobs a pull in progress counts on.
    """

    def __init__(self, folder: Path, *, incoming: Path, lock: BaseFileLock) -> None:
        """Use a folder of blobs.

        Args:
            folder: Where they are.
            incoming: Where they are first written, on the same file system.
            lock: Held while a blob appears, is claimed or disappears.
        """
        self._folder = folder
        self._incoming = incoming
        self._lock = lock

    def path(self, digest: str) -> Path:
        """Return where the blob of that digest is or would be."""
        return self._folder / f"sha256-{digests.hex_of(digest)}"

    def size(self, digest: str) -> int | None:
        """Return the size of a blob, or None when there is none. A link does not count."""
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
        """Say whether a blob is here. If it is, it is not removed before a manifest names it."""
        if self.size(digest) is None:
            return False
        with writing(self._folder), self._lock, suppress(FileNotFoundError):
            os.utime(self.path(digest))
            return True
        return False

    def add(self, source: BinaryIO, *, digest: str | None, what: str, report: Callable[[int], None]) -> tuple[str, int]:
        """Copy a stream in and return its digest and size. The digest is always computed from the bytes copied.

        Args:
            source: Read to its end.
            digest: The digest that the bytes must have, or None.
            what: What to call the stream in an error.
            report: Called with the number of bytes so far.

        Raises:
            DigestMismatch: The bytes do not have the digest.
            DiskFull: There was no space.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
            handle, temporary = new_file(self._incoming, "blob-")
            try:
                with os.fdopen(handle, "wb") as target:
                    found = digests.copy(source, target, report)
                    size = target.tell()
                    target.flush()
                    os.fsync(target.fileno())  # otherwise a power cut could leave an empty file under the final name
                digests.check(found, digest, what)
                self.settle(temporary, found)
            finally:
                temporary.unlink(missing_ok=True)
        return found, size

    def receive(self) -> Incoming:
        """Return a new blob, to which bytes can be written as they come in.

        Raises:
            DiskFull: There was no space.
            StoreError: The store may not be written.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
            return Incoming(*new_file(self._incoming, "blob-"), self)

    def add_file(self, path: Path, *, digest: str | None, move: bool, report: Callable[[int], None]) -> tuple[str, int]:
        """Put a file in and return its digest and size. The digest is always computed from the bytes that stay.

        Args:
            path: The file.
            digest: The digest that its bytes must have, or None.
            move: Whether the file itself may be taken. A link, a file with a second name, and a file on another file
                system are copied all the same. The file stays where it is until its digest is known to be right, so
                that a cancelled call loses nothing. A file with the wrong bytes is removed.
            report: Called with the number of bytes so far.

        Raises:
            DigestMismatch: The bytes do not have the digest.
            DiskFull: There was no space for a copy.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
            # 1. Rename the file, if that is allowed
            if move and _can_be_taken(path, self._folder):
                try:
                    return self._take(path, digest, report)
                except OSError as error:
                    if error.errno != errno.EXDEV:  # one file system that is mounted twice cannot rename: copy
                        raise
            # 2. Share its blocks, if the file system can
            handle, temporary = new_file(self._incoming, "blob-")
            os.close(handle)
            try:
                if _reflink(path, temporary):
                    found, size = digests.read(temporary, report)
                    digests.check(found, digest, path.name)
                    self.settle(temporary, found)
                    return found, size
            finally:
                temporary.unlink(missing_ok=True)
            # 3. Copy it
            with path.open("rb") as source:
                return self.add(source, digest=digest, what=path.name, report=report)

    def _take(self, path: Path, digest: str | None, report: Callable[[int], None]) -> tuple[str, int]:
        """Turn a file into a blob by a rename."""
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        found, size = digests.read(path, report)
        try:
            digests.check(found, digest, path.name)
        except DigestMismatch:
            path.unlink()  # otherwise the next pull would take this wrong file for a complete download, for ever
            raise
        self.settle(path, found)
        path.unlink(missing_ok=True)
        return found, size

    def settle(self, temporary: Path, digest: str) -> None:
        """Make a whole file the blob with a digest, which was computed from its bytes."""
        final = self.path(digest)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            os.utime(temporary)
            try:
                os.replace(temporary, final)
            except PermissionError:
                # Windows does not replace a file that is open. The same digest means the same bytes, so it may stay.
                if not final.is_file():
                    raise

    def entries(self) -> Iterator[tuple[str, float]]:
        """Yield the digest and the modification time of every blob; other files in the folder are left out."""
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
        """Delete a blob. Do nothing if it is gone already, or if it is open on Windows."""
        with suppress(FileNotFoundError, PermissionError):
            self.path(digest).unlink()


class Incoming:
    """A blob that comes in piece by piece. Close it: what was not kept by then is removed."""

    def __init__(self, handle: int, path: Path, blobs: Blobs) -> None:
        """Use an empty file.

        Args:
            handle: The open file.
            path: Where it is, on the file system of the blobs.
            blobs: Where it goes.
        """
        self._file = os.fdopen(handle, "wb")
        self._path = path
        self._blobs = blobs
        self._hashed = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of what came so far."""
        return f"sha256:{self._hashed.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            DiskFull: There was no space.
        """
        with writing(self._path.parent):
            self._file.write(data)
        self._hashed.update(data)

    def keep(self) -> None:
        """Make a blob of what came.

        Raises:
            DiskFull: There was no space.
        """
        with writing(self._path.parent):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._blobs.settle(self._path, self.digest)

    def close(self) -> None:
        """Remove what came, unless it was kept."""
        with suppress(OSError):  # what was not written yet may not fit on the disk
            self._file.close()
        self._path.unlink(missing_ok=True)


def _can_be_taken(path: Path, folder: Path) -> bool:
    """Say whether a file can be renamed into a folder, and has no second name through which it could be changed."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_dev == folder.stat().st_dev


def _reflink(path: Path, target: Path) -> bool:
    """Let `target` share the blocks of a file, so that nothing is copied; False where that cannot be done."""
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        with path.open("rb") as source, target.open("wb") as copy:
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True
