"""The processes that decode photos: as many as there are cores, each for many photos, replaced after a fault."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from types import TracebackType
from typing import Any, Self

from olpipe import machine
from olpipe.errors import ImageError, ImageUnreadable
from olpipe.image import DecodedImage
from olpipe.imaging.sandbox import wire
from olpipe.imaging.sandbox.limits import Limits
from olpipe.imaging.sandbox.process import Answer, DecoderProcess, Fault
from olpipe.interfaces import ImageLoader
from olpipe.settings import Settings


class Sandbox:
    """Decodes photos in processes of its own. Any thread may call it.

    Processes are started when they are needed. A copy that is sent to another process starts its own there.
    """

    def __init__(self, settings: Settings, limits: Limits | None = None, *, processes: int = 0) -> None:
        """Make a sandbox in which nothing runs yet.

        Args:
            settings: They say which plugins are loaded.
            limits: What each process may use; None takes the usual limits.
            processes: Most processes side by side; 0 takes one for each core.
        """
        processes = processes or machine.cores()
        self._settings = settings
        self._limits = limits or Limits.usual(processes)
        self._processes = processes
        self._free = threading.Semaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Sandbox, (self._settings,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def loaders(self, loaders: Iterable[ImageLoader]) -> tuple[ImageLoader, ...]:
        """Return loaders that do the work of others in here. They recognise files by the same first bytes."""
        return tuple(_Sandboxed(loader, self) for loader in loaders)

    def day_taken(self, data: bytes) -> date | None:
        """Return the day on which a photo was taken, as `olpipe.imaging.taken.day_taken` does."""
        with suppress(ImageError, TypeError, ValueError, OverflowError):
            header, _ = self.ask({"do": "day"}, data)
            return None if header.get("day") is None else date.fromordinal(header["day"])
        return None

    def ask(self, request: Mapping[str, Any], data: bytes, most_pixels: int = 0) -> Answer:
        """Have a process do something with a file.

        Args:
            request: What to do.
            data: The file.
            most_pixels: How many pixels may come back.

        Raises:
            ImageError: The file cannot be decoded, or the process died of it.
            BackendCrashed: A process could not be started.
        """
        with self._free:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or DecoderProcess(self._settings, self._limits)
            sound = False
            try:
                answer = process.ask(request, data, most_pixels)
                sound = True
            except Fault as fault:
                raise fault.to_error() from fault
            except ImageError:
                sound = True
                raise
            finally:
                if sound:
                    with self._lock:
                        self._idle.append(process)
                else:
                    process.close()
        return answer

    def close(self) -> None:
        """End all processes that are idle. A later request starts one again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()


class _Sandboxed(ImageLoader):
    """Has another loader decode photos in a sandbox."""

    def __init__(self, loader: ImageLoader, sandbox: Sandbox) -> None:
        self._loader = loader
        self._sandbox = sandbox
        self.name = loader.name
        self.suffixes = loader.suffixes

    def recognises(self, header: bytes, suffix: str) -> bool:
        """Ask the other loader."""
        return self._loader.recognises(header, suffix)

    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode a photo in the sandbox, and check what comes back."""
        request = {"do": "decode", "loader": self.name, "refuse_pixels": refuse_pixels, "fit_pixels": fit_pixels}
        about, pixels = self._sandbox.ask(request, data, refuse_pixels)
        try:
            width, height = map(wire.whole, about["size"])
            orientation, file_format = wire.whole(about["orientation"]), str(about["format"])[:20]
        except (LookupError, TypeError, ValueError) as error:
            raise ImageUnreadable(f"the process that decoded it said what cannot be: {error}") from error
        if pixels is None or pixels.shape[0] > height or pixels.shape[1] > width or orientation > 8:
            raise ImageUnreadable("the process that decoded it said what cannot be")
        return DecodedImage(pixels, width, height, orientation, file_format)
