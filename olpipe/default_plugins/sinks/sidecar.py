"""The sink `sidecar`: a small JSON file for each photo, in folders like those of the photos.

The record of `trip/cat.jpg` is `trip/cat.jpg.json`, so that it never meets the one of `trip/cat.png`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.archives.opened import archive_of
from olpipe.errors import OutputUnavailable
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.row_file import RowFile
from olpipe.whole_file import put_whole

logger = logging.getLogger(__name__)

SUFFIX = ".json"
INDEX = ".olpipe-sidecars.jsonl"
"""What says which sidecars the sink has written, in their order, each with the digest of its bytes."""

NO_SIDECAR = ""
"""Stands for the digest where no sidecar can lie: beside a photo in an archive."""

_BEGINNING = b'{"file":'
"""Every sidecar begins like this, and so does every line of the index."""


class SidecarSink(Sink):
    """Writes a file for each row.

    Rows wait in memory until `flush`, which puts each file in place as a whole. The index is written last: it decides
    which files the sink calls its own.
    """

    def __init__(self, folder: Path) -> None:
        """Open nothing yet: `recover` comes first."""
        self._folder = folder
        hint = "move it away, or name another folder: `sidecar:FOLDER`"
        self._index = RowFile(folder / INDEX, beginning=_BEGINNING, foreign="holds something else", hint=hint)
        self._hint = hint
        self._own: dict[str, str] = {}  # the sidecars that are committed, each with its digest
        self._stale: dict[str, str] = {}  # those of earlier runs, which are removed at the first flush
        self._waiting: dict[str, bytes] = {}
        self._without = 0  # photos in archives, which get none

    def recover(self, position: int) -> bool:
        """Go on behind a position, where all sidecars up to it are as they were written; 0 begins anew."""
        self._waiting = {}
        before = self._listed()
        if not self._index.recover(position):
            return False
        if position == 0:
            self._own, self._stale = {}, before
            return True
        committed = self._listed(self._index.length)
        if not all(self._is_as_written(file, digest) for file, digest in committed.items()):
            self._index.close()
            return False
        self._own = committed
        self._stale = {file: digest for file, digest in before.items() if file not in committed}
        return True

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind sidecars that somebody has changed, where each of these photos still has one."""
        if not self._index.keep(files, _names):
            return False
        self._own, self._stale = self._listed(), {}
        if all(self._own[file] == NO_SIDECAR or self._path(file).is_file() for file in files):
            return True
        self._index.close()
        return False

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        import orjson

        self._index.opened()
        file = row["file"]
        self._waiting[file] = orjson.dumps(row, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def flush(self) -> int:
        """Put the files of all rows in place, and return the position."""
        import orjson

        for file in self._waiting:
            self._refuse_others(file)
        for file, digest in self._stale.items():
            if file not in self._waiting and digest != NO_SIDECAR and self._is_as_written(file, digest):
                self._path(file).unlink(missing_ok=True)
        self._stale = {}
        for file, data in self._waiting.items():
            self._own[file] = self._put(file, data)
            self._index.append(orjson.dumps({"file": file, "sha256": self._own[file]}) + b"\n")
        self._waiting = {}
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._index.flush()

    def close(self) -> None:
        """Close the index. Rows after the last `flush` are lost."""
        self._index.close()
        self._waiting = {}
        if self._without:
            many = f"{self._without} photo{' lies' if self._without == 1 else 's lie'}"
            logger.warning("%s in archives and got no sidecars there: `sidecar` without a folder makes them", many)
        self._without = 0

    def _put(self, file: str, data: bytes) -> str:
        """Put a sidecar in place, and return its digest."""
        path = self._path(file)
        if archive_of(path) is not None:
            self._without += 1
            return NO_SIDECAR
        put_whole(path, data)
        return _digest(data)

    def _path(self, file: str) -> Path:
        return self._folder / f"{file}{SUFFIX}"

    def _is_as_written(self, file: str, digest: str) -> bool:
        if digest == NO_SIDECAR:
            return True
        try:  # no `Path` is made: there may be very many files, and making it takes as long as reading one
            with open(os.path.join(self._folder, file + SUFFIX), "rb", buffering=0) as sidecar:
                return _digest(sidecar.readall()) == digest
        except OSError:
            return False

    def _refuse_others(self, file: str) -> None:
        """Refuse to replace a file that the sink did not write. Photo services leave such files beside photos, too.

        Raises:
            OutputUnavailable: There is one.
        """
        path = self._path(file)
        if file in self._own or file in self._stale or archive_of(path) is not None:
            return
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        if not data.lstrip(b"{ \n").startswith(_BEGINNING.lstrip(b"{")):
            raise OutputUnavailable(f"`{path}` is no record, and is not replaced", hint=self._hint)

    def _listed(self, length: int | None = None) -> dict[str, str]:
        """Return the sidecars that the index names, each with its digest.

        Args:
            length: How many bytes of the index count; None counts all.
        """
        rows = self._index.entries(length)
        return {row["file"]: row["sha256"] for row in rows if {"file", "sha256"} <= row.keys()}


def _names(lines: BinaryIO) -> Iterator[str]:
    import orjson

    for line in lines:
        yield orjson.loads(line)["file"]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class SidecarSinkFactory(SinkFactory):
    """Opens folders of sidecars. They take records of any schema."""

    scheme = "sidecar"
    usual_target = "sidecars"

    def open(self, target: str, run: RunInfo) -> SidecarSink:
        """Return a sink for a folder. The folder of the photos puts each record beside its photo."""
        return SidecarSink(run.output / target)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (SidecarSinkFactory(),)
