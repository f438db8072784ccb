"""A blob that comes in part by part, and survives an end of its process at any moment.

Its folder has two files: `data`, which is as long as the blob will be, and `parts`, which says what of it has come. The
list of parts is written behind the data, so it may say too little, and then a few bytes come again. After a power cut
it may say too much: then the digest shows that, nothing is kept, and the blob comes in anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from olpipe.errors import DigestMismatch
from olpipe.model import Layer
from olpipe.store import digests
from olpipe.store.flusher import Flusher
from olpipe.store.writing import writing

NOTED_BYTES = 4 << 20
"""After so many new bytes, the list of parts is written. A process that is killed loses no more than that."""

FLUSHED_BYTES = 4 << 20
"""After so many new bytes, a thread flushes them to the disk, so that little is left to be flushed at the end."""

HASHED_BYTES = 4 << 20
"""How much one call of `hash_more` hashes."""

_READ_BYTES = 1 << 20


class PartialBlob:
    """A blob that comes in part by part. Implements `olpipe.interfaces.PartialBlob`.

    Attributes:
        size: How many bytes it has.
        path: The file that it comes into.
    """

    def __init__(self, folder: Path, digest: str, size: int, settle: Callable[[Path, str], None]) -> None:
        """Go on with what is in a folder, or begin anew.

        Args:
            folder: An existing folder that no other process uses now.
            digest: What its bytes must be.
            size: How many bytes it has.
            settle: Makes a whole file the blob with a digest.
        """
        self.size = size
        self.path = folder / "data"
        self._folder = folder
        self._list = folder / "parts"
        self._digest = digest
        self._settle = settle
        self._changed = threading.Condition()
        self._hashed = hashlib.sha256()
        self._hashed_bytes = 0
        with writing(folder):
            self._parts = self._known()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            os.ftruncate(self._file, size)
        self._open = True
        self._writers = 0
        self._not_noted = 0
        self._flusher = Flusher(self._file, FLUSHED_BYTES)
        self._buffer = memoryview(bytearray(min(_READ_BYTES, size)))
        self._reading = self.path.open("rb", buffering=0)

    def missing(self) -> Sequence[tuple[int, int]]:
        """Return what has not come yet: where each gap begins, and where it ends (exclusive)."""
        with self._changed:
            return _gaps(self._parts, 0, self.size)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes in their place. Bytes that are there already stay: they may have been hashed."""
        end = offset + len(data)
        if not 0 <= offset <= end <= self.size:
            raise ValueError(f"bytes {offset} to {end} do not lie within a blob of {self.size} bytes")
        with self._changed:
            if not self._open:
                raise ValueError("the blob is closed")
            self._writers += 1
            gaps = _gaps(self._parts, offset, end)
        try:
            with writing(self._folder):
                view = memoryview(data)
                for begins, ends in gaps:
                    self._put(begins, view[begins - offset : ends - offset])
                self._remember(offset, end)
                self._flusher.wrote(end - offset)
        finally:
            with self._changed:
                self._writers -= 1
                self._changed.notify_all()

    def _remember(self, offset: int, end: int) -> None:
        """Remember what has come, and write that down now and then."""
        with self._changed:
            self._parts = _joined([*self._parts, (offset, end)])
            self._not_noted += end - offset
            if self._not_noted >= NOTED_BYTES:
                self._note()

    def hash_more(self) -> int:
        """Hash some more of what has come without a gap from the beginning on."""
        with self._changed:
            known = self._parts[0][1] if self._parts and self._parts[0][0] == 0 else 0
        end = min(known, self._hashed_bytes + HASHED_BYTES)
        before = self._hashed_bytes
        self._reading.seek(before)
        while self._hashed_bytes < end:
            view = self._buffer[: end - self._hashed_bytes]
            count = self._reading.readinto(view) or 0
            if not count:
                raise ValueError(f"`{self.path}` was cut short while it came in")
            self._hashed.update(view[:count])
            self._hashed_bytes += count
        return known - before

    def keep(self) -> Layer:
        """Put the whole blob in the store and return a layer for it."""
        while self.hash_more():
            pass
        if self._hashed_bytes < self.size:
            raise ValueError(f"the blob {self._digest} is not whole: {self.missing()} is missing")
        found = f"sha256:{self._hashed.hexdigest()}"
        if found != self._digest:
            self.discard()
            raise DigestMismatch(
                f"a file of the model has the digest {found}, not {self._digest}",
                hint="it was damaged on the way: nothing of it was kept, so pull again",
            )
        with writing(self._folder):
            os.fsync(self._file)  # otherwise a power cut could leave an empty file under the final name
            self._close()
            self._settle(self.path, found)
            shutil.rmtree(self._folder, ignore_errors=True)
        return Layer(found, self.size)

    def discard(self) -> None:
        """Forget what came, because it is of no use."""
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Leave what came to the next process. Where nothing came, nothing is left."""
        if not self._close():
            return
        if self._parts:
            with suppress(OSError):  # what the list does not say comes again
                self._note()
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> bool:
        """Take nothing in any more, once all threads have written; False where that is so already."""
        with self._changed:
            if not self._open:
                return False
            self._open = False
            while self._writers:  # the number of a closed file may be given to another one
                self._changed.wait()
        self._flusher.end()
        os.close(self._file)
        self._reading.close()
        return True

    def _known(self) -> list[tuple[int, int]]:
        """Return the parts that came before; none where what is there does not belong to this blob."""
        with suppress(OSError, ValueError):
            if self.path.lstat().st_size == self.size and not self.path.is_symlink():
                lines = self._list.read_text(encoding="ascii").splitlines()
                pairs = [(int(begins), int(ends)) for begins, ends in (line.split() for line in lines)]
                if all(0 <= begins < ends <= self.size for begins, ends in pairs):
                    return _joined(pairs)
        self.path.unlink(missing_ok=True)
        return []

    def _note(self) -> None:
        """Write down what has come. The caller holds the lock."""
        self._not_noted = 0
        fresh = self._list.with_suffix(".new")
        fresh.write_text("".join(f"{begins} {ends}\n" for begins, ends in self._parts), encoding="ascii")
        os.replace(fresh, self._list)

    def _put(self, offset: int, view: memoryview) -> None:
        """Write bytes at a place of the file."""
        while view:
            if hasattr(os, "pwrite"):
                count = os.pwrite(self._file, view, offset)
            else:  # Windows knows no writing at a place
                with self._changed:
                    os.lseek(self._file, offset, os.SEEK_SET)
                    count = os.write(self._file, view)
            offset += count
            view = view[count:]


def short(digest: str) -> str:
    """Return the first digits of a digest, by which people tell blobs apart."""
    return digests.hex_of(digest)[:12]


def _joined(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return parts in order, with those that touch each other made one."""
    joined: list[tuple[int, int]] = []
    for begins, ends in sorted(parts):
        if joined and begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(ends, joined[-1][1]))
        elif ends > begins:
            joined.append((begins, ends))
    return joined


def _gaps(parts: Sequence[tuple[int, int]], begins: int, ends: int) -> list[tuple[int, int]]:
    """Return what of a range is in no part. The parts are joined."""
    gaps = []
    for part_begins, part_ends in parts:
        if part_begins > begins and min(part_begins, ends) > begins:
            gaps.append((begins, min(part_begins, ends)))
        begins = max(begins, part_ends)
    if begins < ends:
        gaps.append((begins, ends))
    return gaps
