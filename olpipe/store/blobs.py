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

from olpipe.errors import DigestMismatch, StoreError
from olpipe.store import digests
from olpipe.store.writing import new_file, writing

LINKED = "linked"
"""The folder of a store that says which blobs are files of another program, too."""

_NAME = re.compile(r"sha256-([0-9a-f]{64})")
_PARTIAL = re.compile(r"sha256-[0-9a-fA-F]{64}-partial")
_NOT_SHARED = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_FICLONE = 0x40049409
"""Share a file's blocks. Source: https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html"""


class Blobs:
    """The blobs of one store. A blob under its final name is always whole.

    A blob's modification time is the last time that a pull asked for it or brought it. So a removal can tell which
    blobs a pull in progress counts on. Where the file is also another program's, a file in `linked` has that time.
    """

    def __init__(self, folder: Path, *, incoming: Path, lock: BaseFileLock) -> None:
        """Use a folder of blobs.

        Args:
            folder: Where they are.
            incoming: Where they are first written, on the same file system.
            lock: Held while a blob appears, is claimed or disappears.
        """
        self.folder = folder
        self._incoming = incoming
        self._linked = folder.with_name(LINKED)
        self._lock = lock

    def path(self, digest: str) -> Path:
        """Return where the blob of that digest is or would be."""
        return self.folder / f"sha256-{digests.hex_of(digest)}"

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
        with writing(self.folder), self._lock:
            if self.size(digest) is None:
                return False
            self._claim(digest)
        return True

    def _claim(self, digest: str) -> None:
        """Write down that somebody counts on a blob. The caller holds the lock."""
        path = self.path(digest)
        linked = self._linked / path.name
        os.utime(linked if linked.exists() else path)

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
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
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
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
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
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
            # 1. Rename the file, if that is allowed
            if move and _can_be_taken(path, self.folder):
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
                    found, size = digests.read_durably(temporary, report)
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
        found, size = digests.read_durably(path, report)
        try:
            digests.check(found, digest, path.name)
        except DigestMismatch:
            path.unlink()  # otherwise the next pull would take this wrong file for a complete download, for ever
            raise
        self.settle(path, found)
        path.unlink(missing_ok=True)
        return found, size

    def adopt(self, path: Path, digest: str, *, copies: bool, report: Callable[[int], None]) -> int:
        """Take a file of another program in, without a change to it, and return its size.

        Args:
            path: The file.
            digest: The digest that its bytes must have.
            copies: Whether it may be copied where the two folders cannot share a file.
            report: Called with the number of bytes so far.

        Raises:
            DigestMismatch: The bytes do not have the digest.
            StoreError: The file cannot be shared, and may not be copied.
        """
        with writing(self.folder):
            self._incoming.mkdir(parents=True, exist_ok=True)
            handle, temporary = new_file(self._incoming, "blob-")
            os.close(handle)
            try:
                is_linked = not _reflink(path, temporary)
                if is_linked:
                    temporary.unlink()
                    os.link(path, temporary)
                with temporary.open("rb") as file:
                    found, size = digests.read(file, report)
                digests.check(found, digest, path.name)
                self.settle(temporary, found, is_linked=is_linked)
                return size
            except OSError as error:
                if error.errno not in _NOT_SHARED:
                    raise
                if not copies:
                    raise StoreError(
                        f"`{path}` and `{self.folder}` cannot share a file ({error.strerror})",
                        hint="copy the models with `--copy`, or set OLPIPE_HOME to a folder on the same disk",
                    ) from error
            finally:
                temporary.unlink(missing_ok=True)
        with path.open("rb") as source:
            return self.add(source, digest=digest, what=path.name, report=report)[1]

    def settle(self, temporary: Path, digest: str, *, is_linked: bool = False) -> None:
        """Make a whole file the blob with a digest, which was computed from its bytes.

        Args:
            temporary: The file.
            digest: Its digest.
            is_linked: Whether it is a file of another program, too. Then nothing of it changes but its name here.
        """
        final = self.path(digest)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if is_linked:
                self._linked.mkdir(parents=True, exist_ok=True)
                (self._linked / final.name).touch()
            else:
                os.utime(temporary)
                (self._linked / final.name).unlink(missing_ok=True)
            try:
                os.replace(temporary, final)
            except PermissionError:
                # Windows does not replace a file that is open. The same digest means the same bytes, so it may stay.
                if not final.is_file():
                    raise

    def entries(self) -> Iterator[tuple[str, float]]:
        """Yield each blob's digest, and when it was last brought or claimed; other files in the folder are left out."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    digest = f"sha256:{match[1]}"
                    yield digest, self.touched_at(digest) or entry.stat(follow_symlinks=False).st_mtime

    def has_foreign_partials(self) -> bool:
        """Say whether another program, such as Ollama, has files here that it has not brought wholly yet.

        It may count on blobs that no manifest names so far.
        """
        return self.folder.is_dir() and any(_PARTIAL.match(name) for name in os.listdir(self.folder))

    def touched_at(self, digest: str) -> float | None:
        """Return when a pull last brought or claimed a blob, or None when there is no such blob."""
        if self.size(digest) is None:
            return None
        path = self.path(digest)
        found = 0.0
        for one in (path, self._linked / path.name):
            with suppress(FileNotFoundError, NotADirectoryError):
                found = max(found, one.stat().st_mtime)
        return found

    def discard(self, digest: str) -> None:
        """Delete a blob. Do nothing if it is gone already, or if it is open on Windows."""
        with suppress(FileNotFoundError, PermissionError):
            self.path(digest).unlink()
            (self._linked / self.path(digest).name).unlink(missing_ok=True)


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
