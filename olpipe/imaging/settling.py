"""Tell photos that have arrived whole from those that are still being copied."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from olpipe.image import ImageRef

_SHARING_VIOLATION = 32
"""What Windows says where another program has a file open and shares it with nobody."""

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3"})
"""File systems that refuse a lease although nobody writes."""

_State = tuple[int, int]


class Settling:
    """Remembers the size and the time of each photo, and says which have not changed for long enough.

    It asks the clock that nobody can set, and times of files are only held against each other. So it does no harm if
    the computer's clock, or that of a camera or a server, is wrong or is set back.
    """

    def __init__(self, settle_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no photo yet.

        Args:
            settle_s: So long a photo has to stay as it is.
            clock: Returns the time in seconds.
        """
        self._settle_s = settle_s
        self._clock = clock
        self._done: dict[Path, _State] = {}
        self._waiting: dict[Path, tuple[_State, float]] = {}
        self._images: Iterable[ImageRef] = ()

    @property
    def waiting(self) -> int:
        """How many photos have not stayed as they are for long enough, or are not done."""
        return len(self._waiting)

    def settled(self, images: Iterable[ImageRef]) -> list[ImageRef]:
        """Return the photos that have settled and are not done, in order. All others are forgotten if they are gone.

        Args:
            images: All photos, as they are now. Where it is the same object as before, nothing has changed.
        """
        if images is self._images and not self._waiting:
            return []
        self._images = images
        now = self._clock()
        done, waiting, settled = {}, {}, []
        for image in images:
            state = _state(image)
            if self._done.get(image.path) == state:
                done[image.path] = state
                continue
            before, since = self._waiting.get(image.path, (None, now))
            since = since if before == state else now
            waiting[image.path] = (state, since)
            if now - since >= self._settle_s:
                settled.append(image)
        self._done, self._waiting = done, waiting
        return settled

    def finish(self, images: Iterable[ImageRef]) -> None:
        """Take note that these photos are done: they are waited for again only if they change."""
        for image in images:
            self._waiting.pop(image.path, None)
            self._done[image.path] = _state(image)

    def put_off(self, images: Iterable[ImageRef]) -> None:
        """Wait once more for these photos to settle."""
        now = self._clock()
        for image in images:
            self._waiting[image.path] = (_state(image), now)


def is_unchanged(image: ImageRef) -> bool:
    """Say whether a file is still there, and as it was when it was found."""
    try:
        status = os.stat(image.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == _state(image)


def is_being_written(path: Path) -> bool:
    """Say whether a program has a file open to write to it, where the system tells that.

    Linux tells it of files that belong to the user, and Windows where the other program shares its file with nobody. In
    all other cases the answer is no.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        return getattr(error, "winerror", None) == _SHARING_VIOLATION
    try:
        return _has_writer(descriptor)
    finally:
        os.close(descriptor)


def _has_writer(descriptor: int) -> bool:
    """Ask for a lease to read, which Linux refuses where somebody has the file open to write.

    Source: fcntl(2), F_SETLEASE.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return False
    try:
        # A writer that comes now is told by a signal, which is one that does nothing here
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN and _file_system(status.st_dev) not in _NETWORK
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _file_system(device: int) -> str:
    """Return the kind of file system that is mounted from a device; an empty text where that is not known."""
    if sys.platform == "win32":
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [number]:
            return after.split(" ", 1)[0]
    return ""


def _state(image: ImageRef) -> _State:
    return image.size_bytes, image.modified_ns
