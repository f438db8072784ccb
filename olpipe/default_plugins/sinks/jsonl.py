"""The sink `jsonl`: one JSON object a line, in a file that grows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory

BEGINNING = b'{"file":'
"""Every row begins like this: a file that begins otherwise was written by somebody else."""


class JsonlSink(Sink):
    """Appends rows to a file; its positions are byte offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        self._file: BinaryIO | None = None
        self._replaces = False

    def recover(self, position: int) -> bool:
        """Cut what lies after a position; 0 begins a new file, which takes the old one's place on the first flush.

        Raises:
            OutputUnavailable: The old one does not hold rows, so it is not replaced.
        """
        if position == 0:
            self._refuse_others()
            self._fresh.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._replaces = open(self._fresh, "wb"), True  # noqa: SIM115 - closed by `close`
            return True
        try:
            file = open(self._path, "r+b")  # noqa: SIM115 - closed by `close`
        except FileNotFoundError:
            return False
        if file.seek(0, os.SEEK_END) < position:
            file.close()
            return False
        file.truncate(position)
        file.seek(position)
        self._file = file
        return True

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line."""
        import orjson

        self._opened().write(orjson.dumps(row) + b"\n")

    def flush(self) -> int:
        """Bring every line to the disk and return the file's length."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        if self._replaces:
            file.close()  # some systems do not rename a file that is open
            os.replace(self._fresh, self._path)
            self._file, self._replaces = open(self._path, "ab"), False  # noqa: SIM115 - closed by `close`
        return self._opened().tell()

    def close(self) -> None:
        """Let go of the file; what `flush` has not seen is not promised to anyone."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _refuse_others(self) -> None:
        """Refuse to replace a file that holds something else."""
        try:
            with self._path.open("rb") as file:
                beginning = file.read(len(BEGINNING))
        except FileNotFoundError:
            return
        if not BEGINNING.startswith(beginning):
            message = f"`{self._path}` holds something else than rows, and is not replaced"
            raise OutputUnavailable(message, hint="move it away, or name another target: `jsonl:TARGET`")

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("`recover` comes before the first write")
        return self._file


class JsonlSinkFactory(SinkFactory):
    """Opens JSON Lines files; takes records of any schema."""

    scheme = "jsonl"
    usual_target = "records.jsonl"

    def open(self, target: str, run: RunInfo) -> JsonlSink:
        """Return a sink for the file at a path."""
        return JsonlSink(run.output / target)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Bring the sink."""
    return (JsonlSinkFactory(),)
