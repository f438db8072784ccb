"""Documents that are made of all rows at once, for sinks. A COCO file is one: it cannot grow by a row at its end.

The rows go into a file of their own, which grows and is resumed as any `RowFile` is. The documents are written from it,
row by row, so that the memory does not grow with the number of photos. They are written when the sink is opened, when
it is closed, and in between as long as that takes a small part of the time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.row_file import RowFile, set_aside

logger = logging.getLogger(__name__)

ROWS = ".olpipe-rows.jsonl"
"""The file with the rows."""

STATE = ".olpipe-documents.json"
"""What says which documents the sink has written: the digests of each, and the rows that they were made of."""

_BEGINNING = b'{"file":'
_REST_FACTOR = 20
"""Documents are written again when this many times as long has passed as writing them took."""

Rows = Callable[[], Iterator[Mapping[str, Any]]]
"""Begins to read the rows. A document may read them several times."""

Document = Callable[[BinaryIO, Rows], None]
"""Writes a document of all rows into a file."""


class RowDocuments:
    """Keeps rows in a folder, and documents that are made of them. A sink calls it as the pipeline calls the sink."""

    def __init__(self, folder: Path, documents: Mapping[str, Document], *, hint: str) -> None:
        """Open nothing yet.

        Args:
            folder: The sink's own folder.
            documents: What writes each document, by the path of its file below the folder.
            hint: What the user can do where somebody else's file is in the way.
        """
        self._folder, self._documents, self._hint = folder, documents, hint
        self._rows = RowFile(folder / ROWS, beginning=_BEGINNING, foreign="holds something else than rows", hint=hint)
        self._position = self._written = -1  # of the rows that are flushed, and of those that the documents hold
        self._length = 0  # how long the flushed rows are, in bytes
        self._due_s = 0.0

    def recover(self, position: int) -> bool:
        """Go on behind a position that `flush` returned, or start over at 0. The documents do not change yet.

        Raises:
            OutputUnavailable: A document is somebody else's, and would be replaced.
        """
        self._forget()
        if position == 0 and not (self._folder / ROWS).exists() and not self._state():
            self._refuse_others()
        return self._rows.recover(position)

    def photos(self) -> dict[str, str]:
        """Return the photos of all rows that the file has, each with the digest that its row gives."""
        import orjson

        found: dict[str, str] = {}
        try:
            with (self._folder / ROWS).open("rb") as lines:
                for line in lines:
                    row = orjson.loads(line)
                    found[row["file"]] = row["sha256"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            pass  # there is none, or somebody has changed it
        return found

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed, where each is still the row of one of these photos."""
        self._forget()
        return self._rows.keep(files, _names)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        import orjson

        self._rows.append(orjson.dumps(row) + b"\n")

    def flush(self) -> int:
        """Write every row to the disk and return the position. The documents follow if they are due."""
        self._position, self._length = self._rows.flush(), self._rows.length
        if self._written < 0 and self._are_there():
            self._written = self._position
        if self._written != self._position and time.monotonic() >= self._due_s:
            try:
                self._write()
            except BaseException:
                self._rows.doubt()
                raise
        return self._position

    def close(self) -> None:
        """Write the documents of all rows that were flushed, and close the file of the rows."""
        try:
            if self._written != self._position:
                self._write()
        except OSError as error:
            logger.warning("the files in `%s` lack the last rows: %s; run again to write them", self._folder, error)
            raise
        finally:
            self._forget()
            self._rows.close()

    def _forget(self) -> None:
        self._position = self._written = -1
        self._length, self._due_s = 0, 0.0

    def _refuse_others(self) -> None:
        for name in self._documents:
            path = self._folder / name
            if path.exists() and path.stat().st_size:
                raise OutputUnavailable(f"`{path}` was not written by this sink, and is not replaced", hint=self._hint)

    def _are_there(self) -> bool:
        """Say whether the documents were made of the rows that are flushed."""
        state = self._state()
        return state.get("position") == self._position and all(
            (self._folder / name).exists() for name in self._documents
        )

    def _read(self) -> Iterator[Mapping[str, Any]]:
        import orjson

        left = self._length
        with (self._folder / ROWS).open("rb") as lines:
            for line in lines:
                if left < len(line):
                    return
                left -= len(line)
                yield orjson.loads(line)

    def _write(self) -> None:
        """Write all documents, and then put each in its place."""
        started_s = time.monotonic()
        known: dict[str, list[str]] = self._state().get("files", {})
        files: dict[str, list[str]] = {}
        for name, document in self._documents.items():
            path = self._folder / name
            before = _digest(path)
            if before is not None and before not in known.get(name, ()) and path.stat().st_size:
                aside = set_aside(path)
                logger.warning("`%s` was changed by hand: what it held is kept as `%s`", path, aside.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _fresh(path).open("wb") as file:
                document(file, self._read)
                file.flush()
                os.fsync(file.fileno())
            files[name] = [digest for digest in (_digest(_fresh(path)), before) if digest is not None]
        self._save({"position": -1, "files": files})
        for name in self._documents:
            os.replace(_fresh(self._folder / name), self._folder / name)
        self._save({"position": self._position, "files": files})
        self._written = self._position
        ended_s = time.monotonic()
        self._due_s = ended_s + _REST_FACTOR * (ended_s - started_s)

    def _state(self) -> dict[str, Any]:
        import orjson

        try:
            state = orjson.loads((self._folder / STATE).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return state if isinstance(state, dict) and isinstance(state.get("files"), dict) else {}

    def _save(self, state: Mapping[str, Any]) -> None:
        import orjson

        path = self._folder / STATE
        with _fresh(path).open("wb") as file:
            file.write(orjson.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        os.replace(_fresh(path), path)


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    import orjson

    for line in lines:
        row = orjson.loads(line)
        name = row.get("file") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise ValueError("a line is no row")
        yield name


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name.removeprefix('.')}.new")


def _digest(path: Path) -> str | None:
    """Return the digest of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
