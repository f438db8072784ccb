"""Have a server make a model: send it the files that it lacks, then say what the model is to be."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from olpipe.client.server import Server
from olpipe.client.steps import step_of
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.store.create import NewModel

PIECE_BYTES = 1 << 20


def copying(digest: str, done: int, size: int) -> Progress:
    """Return how much of a file was copied."""
    return Progress(f"copying file {digest}", done, size)


def make(
    server: Server,
    new: NewModel,
    files: Mapping[str, Path],
    progress: ProgressCallback,
    *,
    base: str = "",
    quantize: str = "",
) -> None:
    """Make a model on a server.

    Args:
        server: The server.
        new: What the model is to be.
        files: Its files by their digests. Those that the server has are not sent.
        progress: Told about every step.
        base: The model that it is made from, as it was written.
        quantize: How finely its weights are stored, as it was written.

    Raises:
        ServerUnreachable: Nobody answers, or the server goes away in the middle.
        OlpipeError: The server's error.
    """
    for digest, path in files.items():
        send(server, digest, path, progress)
    for line in server.lines("/api/create", create_body(new, base=base, quantize=quantize)):
        progress(step_of(line))


def send(server: Server, digest: str, path: Path, progress: ProgressCallback) -> None:
    """Send a file to a server, where the server does not have it."""
    place, size = f"/api/blobs/{digest}", path.stat().st_size
    if not server.has(place):
        told = _Told(path, lambda done: progress(copying(digest, done, size)))
        with io.BufferedReader(told, PIECE_BYTES) as file:
            server.send(place, file)
    progress(copying(digest, size, size))


def create_body(new: NewModel, *, base: str, quantize: str) -> dict[str, Any]:
    """Return the body of a request to `/api/create`. What is empty is left out."""
    body = {
        "model": str(new.name),
        "from": base,
        "files": dict(new.files),
        "adapters": dict(new.adapters),
        "quantize": quantize,
        "system": new.system,
        "template": new.template,
        "license": list(new.licenses),
        "parameters": dict(new.parameters),
        "messages": [{"role": message.role, "content": message.text} for message in new.messages],
    }
    return {name: value for name, value in body.items() if value} | {"stream": True}


class _Told(io.FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(path)
        self._tell = tell
        self._done = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self._done += count
        self._tell(self._done)
        return count
