"""What runs in an actor: a job that is open there, and what it answers. It catches all errors of its photos.

So whatever Ray itself reports means that a process or a machine is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import pickle
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from olpipe import __version__
from olpipe.errors import MachineError, PluginError, first_line
from olpipe.image import ImageFile
from olpipe.imaging.discover import read
from olpipe.interfaces import Job, Session
from olpipe.record import Outcome

AHEAD = 2
"""How many photos a worker decodes and shows to perceivers while its model is busy with others."""

MOST_WARNINGS = 100
"""How many warnings are kept until the next answer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The worker is ready.

    Attributes:
        room: How many photos it takes at once.
    """

    room: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """The worker's machine has not the photo that it was asked to describe.

    Attributes:
        why: What is there instead.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Broken:
    """An error that is not the photo's."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker answers to any call.

    Attributes:
        value: The answer itself.
        warnings: What olpipe has logged in the worker since the last answer.
    """

    value: Opened | Outcome | Unseen | Broken
    warnings: tuple[str, ...] = ()


class Worker:
    """Opens a job, and works on photos in threads. It is the class of the actors."""

    def __init__(self) -> None:
        self._warnings = _Warnings()
        self._stack = ExitStack()
        self._session: Session | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._opening = asyncio.Lock()

    async def open(self, job: bytes, version: str) -> Answer:
        """Open a job: load its plugins and models.

        Args:
            job: The pickled job.
            version: The version of olpipe that has pickled it.
        """
        async with self._opening:
            return self._answer(await asyncio.to_thread(self._open, job, version))

    def _open(self, job: bytes, version: str) -> Opened | Broken:
        try:
            if version != __version__:
                message = f"this machine has olpipe {__version__}, and the batch was started with {version}"
                raise MachineError(message, hint="install the same version on all machines of the cluster")
            logging.getLogger("olpipe").addHandler(self._warnings)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # as in `olpipe batch`
            opened: Job = pickle.loads(job)
            self._session = self._stack.enter_context(opened.open())
            room = self._session.slots + AHEAD
            self._pool = ThreadPoolExecutor(room, thread_name_prefix="photo")
        except Exception as error:  # noqa: BLE001 - the border of the worker: the caller decides what it means
            return Broken(_portable(error))
        return Opened(room)

    async def work(self, image: ImageFile, path: Path) -> Answer:
        """Describe a photo.

        Args:
            image: The photo, without its bytes.
            path: Where they are read.
        """
        loop = asyncio.get_running_loop()
        try:
            return self._answer(await loop.run_in_executor(self._pool, self._work, image, path))
        except asyncio.CancelledError:
            return self._answer(Broken(MachineError("the worker was closed")))

    def _work(self, image: ImageFile, path: Path) -> Outcome | Unseen | Broken:
        assert self._session is not None
        try:
            image = _read(image, path)
        except OSError as error:
            return Unseen(f"it cannot be read there: {error.strerror or first_line(error)}")
        except _AnotherFile:
            return Unseen("another file is there")
        try:
            return self._session.work(image)
        except Exception as error:  # noqa: BLE001 - the border of the worker: the caller decides what it means
            return Broken(_portable(error))

    async def close(self) -> None:
        """Wait for the photos that have begun, drop the others, and close the job."""
        async with self._opening:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def _answer(self, value: Opened | Outcome | Unseen | Broken) -> Answer:
        return Answer(value, self._warnings.taken())


class _AnotherFile(Exception):
    """The bytes of a file are not those that it had where the batch was started."""


def _read(image: ImageFile, path: Path) -> ImageFile:
    """Return a photo with its bytes.

    Raises:
        OSError: The file cannot be read.
        _AnotherFile: It has other bytes.
    """
    data = read(replace(image.ref, path=path))[1]
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise _AnotherFile
    return replace(image, data=data)


def _portable(error: Exception) -> Exception:
    """Return an error as another process can have it. One that cannot be pickled becomes its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever a stranger's class does
        return PluginError(f"{type(error).__name__}: {first_line(error)}")
    return error


class _Warnings(logging.Handler):
    """Keeps what olpipe warns of, so that whoever started the batch reads it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[str] = deque(maxlen=MOST_WARNINGS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(record.getMessage())

    def taken(self) -> tuple[str, ...]:
        """Return the lines that nobody has taken yet."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return tuple(lines)
