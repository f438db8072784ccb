"""One process that decodes photos, as the process that asks it sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from olpipe import errors
from olpipe.errors import BackendCrashed, ImageError, ImageUnreadable
from olpipe.imaging.sandbox import wire
from olpipe.imaging.sandbox.limits import MEMORY_FAILED, Limits, shown_seconds
from olpipe.settings import Settings
from olpipe.sizes import size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STARTING_S = 120.0
"""How long a process may take to load plugins."""

PIPE_BYTES = 1 << 20

_ERRORS: Mapping[str, type[ImageError]] = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, ImageError)
}

# -P keeps the working folder off the module path: among the photos may be a file that is called like a module
COMMAND = (sys.executable, "-P", "-m", "olpipe.imaging.sandbox.child")

ALONE = {
    # Threads of numpy would take address space for each core, and decoding uses none
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # glibc keeps what a photo has taken for the next one. To give it back each time takes a third of the work
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}
"""What the environment says besides."""


class DecoderProcess:
    """A process that decodes one photo at a time. One thread at a time calls it."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        """Start the process, and wait until it has loaded its plugins.

        Raises:
            BackendCrashed: It did not start. No photo is at fault.
        """
        self._limits = limits
        self._in_time = True
        pipe, words = subprocess.PIPE, None if settings.debug else subprocess.DEVNULL
        self._process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=words, env=os.environ | ALONE)
        self._requests, self._answers = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        for end in (self._requests, self._answers):
            _widen(end)
        told = {
            "plugins_allow": settings.plugins_allow,
            "plugins_deny": settings.plugins_deny,
            "debug": settings.debug,
        }
        start = {"settings": told, "seconds": limits.seconds, "memory_bytes": limits.memory_bytes}
        try:
            ready = self._exchange(start, b"", STARTING_S) is not None
        except wire.WireError:
            ready = False
        if not ready:
            message = f"the process that decodes photos did not start: {self._autopsy()}"
            raise BackendCrashed(message, hint="run again with OLPIPE_DEBUG=1 to see everything it says")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], data: bytes, most_pixels: int) -> Answer:
        """Send a request, and return what comes of it.

        Args:
            request: What to do.
            data: The file.
            most_pixels: How many pixels there may be.

        Raises:
            ImageError: The file cannot be decoded.
            Fault: The process is of no use any more. The message says what happened.
        """
        timer = threading.Timer(self._limits.seconds, self._stop)
        timer.daemon = True
        timer.start()
        try:
            found = self._send(request, data)
            if found is None:
                raise Fault(self._autopsy())
            header, data_bytes = found
            if "error" in header:
                raise _error(header)
            pixels = None
            if "shape" in header:
                pixels = wire.read_pixels(self._answers, header["shape"], data_bytes, most_pixels)
                if pixels is None:
                    raise Fault(self._autopsy())
        except (wire.WireError, LookupError, TypeError) as error:
            raise Fault(f"broke off: it gave an answer that cannot be: {error}") from error
        finally:
            timer.cancel()
        return header, pixels

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        self._process.wait()

    def _exchange(self, request: Mapping[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], int] | None:
        timer = threading.Timer(seconds, self._stop)
        timer.daemon = True
        timer.start()
        try:
            return self._send(request, data)
        finally:
            timer.cancel()

    def _send(self, request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], int] | None:
        with suppress(OSError):  # it died while it was told, and its answer, if any, says more
            wire.write(self._requests, request, data)
        return wire.read_header(self._answers)

    def _stop(self) -> None:
        self._in_time = False
        self._process.kill()

    def _autopsy(self) -> str:
        """Find out how the process died."""
        self._process.kill()  # it may have closed its pipe, and go on
        code = self._process.wait()
        if not self._in_time:
            return f"took longer than {shown_seconds(self._limits.seconds)}"
        if code == MEMORY_FAILED:
            return f"used more than {size(self._limits.memory_bytes)} of memory"
        if code < 0:
            names = {one.value: one.name for one in signal.Signals}
            return f"was ended by {names.get(-code, f'signal {-code}')}"
        return f"ended with exit code {code}"


Answer = tuple[dict[str, Any], "npt.NDArray[np.uint8] | None"]


class Fault(Exception):
    """A process that decodes photos is of no use any more."""

    def to_error(self) -> ImageUnreadable:
        """Return the error of the photo that it was at work on."""
        return ImageUnreadable(f"decoding it was stopped: the process {self}")


def _widen(pipe: BinaryIO) -> None:
    """Let a pipe hold more at a time, so that the two processes take turns less often. Only Linux can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the user has many wide pipes already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _error(header: Mapping[str, Any]) -> ImageError:
    """Return the error that an answer tells of. Only errors of images are ever made."""
    kind = _ERRORS.get(str(header["error"]), ImageUnreadable)
    hint = header.get("hint")
    return kind(str(header.get("message"))[:1000], hint=None if hint is None else str(hint)[:1000])
