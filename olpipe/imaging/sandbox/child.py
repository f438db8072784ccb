"""A process that decodes photos, `python -m olpipe.imaging.sandbox.child`: requests in on stdin, pixels out on stdout.

Plugins are loaded here as in the process that asks. The process ends when its stdin is closed, whatever it is doing,
so it never outlives that process. On POSIX, the system ends it when a photo takes too long.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO

from olpipe import errors
from olpipe.errors import ImageError, first_line
from olpipe.imaging.sandbox import wire
from olpipe.imaging.sandbox.limits import MEMORY_FAILED, limit_memory, start_clock
from olpipe.imaging.taken import day_taken
from olpipe.plugins import Plugins
from olpipe.settings import Settings

ALONE_S = 5.0
"""How much longer than its limit a photo may take before the system ends the process, if nobody else has."""

Request = tuple[dict[str, Any], bytes]


def main() -> None:
    """Serve requests until stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to this process, too
    requests, answers = _take_pipes()
    first = wire.read_header(requests)
    if first is None:
        return
    start, _ = first
    settings = Settings(**start["settings"])
    plugins = Plugins.load(settings)
    for name in ("numpy", "PIL.Image"):  # here, so that the limit is about photos
        importlib.import_module(name)
    limit_memory(start["memory_bytes"])
    wire.write(answers, {"ready": True})
    waiting: SimpleQueue[Request] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), name="listen", daemon=True).start()
    while True:
        request, data = waiting.get()
        start_clock(start["seconds"] + ALONE_S)
        try:
            _answer(answers, plugins, request, data)
        except MemoryError:
            os._exit(MEMORY_FAILED)
        start_clock(0)


def _answer(answers: BinaryIO, plugins: Plugins, request: dict[str, Any], data: bytes) -> None:
    """Do what a request asks for, and send what comes of it."""
    import numpy as np

    try:
        if request["do"] == "day":
            day = day_taken(data)
            wire.write(answers, {"day": None if day is None else day.toordinal()})
            return
        loader = plugins.image_loaders.get(request["loader"])
        image = loader.decode(data, refuse_pixels=request["refuse_pixels"], fit_pixels=request["fit_pixels"])
        pixels = np.ascontiguousarray(image.pixels)
        about = {
            "shape": list(pixels.shape[:2]),
            "size": [image.width, image.height],
            "orientation": image.orientation,
            "format": image.format,
        }
    except MemoryError:
        raise
    except ImageError as error:
        wire.write(answers, {"error": type(error).__name__, "message": error.message, "hint": error.hint})
    except Exception as error:  # noqa: BLE001 - damaged or hostile bytes make each library fail in its own way
        message = f"the image is damaged: {first_line(error)}"
        wire.write(answers, {"error": errors.ImageUnreadable.__name__, "message": message, "hint": None})
    else:
        wire.write(answers, about, pixels.reshape(-1).data)


def _listen(requests: BinaryIO, waiting: SimpleQueue[Request]) -> None:
    """Hand on what is asked. When the pipe closes, end this process at once."""
    try:
        while (header := wire.read_header(requests)) is not None:
            request, data_bytes = header
            waiting.put((request, requests.read(data_bytes)))
    finally:
        os._exit(0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout for messages only. What anything prints from now on goes to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    main()
    sys.exit(0)
