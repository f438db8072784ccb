"""The sink `jsonl`: a file that grows, with one JSON object on each line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory

BEGINNING = b'{"file":'
"""Every row begins like this. A file that begins in another way was not written by this sink."""


class JsonlSink(Sink):
    """Appends rows to a file; its positions are byte offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        self._file: BinaryIO | None = None
        self._replaces = False

    def recover(self, position: int) -> bool:
        """Cut off everything after a position. 0 begins a new file, which replaces the old one at the first flush.

        Raises:
            OutputUnavailable: The old file does not hold rows, so it is not replaced.
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
        if not _ends_a_row(file, position):
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
        """Write every line to the disk and return the file's length."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        if self._replaces:
            file.close()  # some systems cannot rename a file that is open
            os.replace(self._fresh, self._path)
            self._file, self._replaces = open(self._path, "ab"), False  # noqa: SIM115 - closed by `close`
        return self._opened().tell()

    def close(self) -> None:
        """Close the file. Rows after the last `flush` may be lost."""
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


def _ends_a_row(file: BinaryIO, position: int) -> bool:
    """Say whether a file holds rows, and one of them ends at a position."""
    if file.read(len(BEGINNING)) != BEGINNING:
        return False
    file.seek(position - 1)
    return file.read(1) == b"\n"


class JsonlSinkFactory(SinkFactory):
    """Opens JSON Lines files. They take records of any schema."""

    scheme = "jsonl"
    usual_target = "records.jsonl"

    def open(self, target: str, run: RunInfo) -> JsonlSink:
        """Return a sink for the file at a path."""
        return JsonlSink(run.output / target)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (JsonlSinkFactory(),)
