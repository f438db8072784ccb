"""What the sinks have in common that write a small file for each photo, in folders like those of the photos."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import OutputUnavailable
from olpipe.interfaces import Sink
from olpipe.row_file import RowFile, set_aside
from olpipe.whole_file import put_whole
from olpipe_coco.names import inside, without_suffix

logger = logging.getLogger(__name__)

INDEX = ".olpipe-files.jsonl"
"""What says which file each photo has, in the order of the rows, with the digest of its bytes."""

Entry = dict[str, Any]
"""A line of the index: `file`, `stem`, `sha256`, and what else a sink wants to know when it goes on."""


class FilesSink(Sink):
    """Writes a file for each row. Rows wait in memory until `flush`.

    The index is written before the files. So after a sudden end, every file that was put in place is in the index, and
    is known as the sink's own.
    """

    takes_rejected = False

    folder_name: str
    """The folder with the files."""

    suffix: str
    """The suffix of the files."""

    def __init__(self, folder: Path, hint: str) -> None:
        """Open nothing yet: `recover` comes first."""
        self.folder = folder
        self._hint = hint
        self._index = RowFile(folder / INDEX, beginning=b'{"file":', foreign="holds something else", hint=hint)
        self._own: dict[str, Entry] = {}  # what is committed, by the photo's name
        self._stale: list[Entry] = []  # what earlier runs have written, and is removed at the first flush
        self._stems: dict[str, str] = {}  # the photo that has each stem; case makes no difference
        self._waiting: list[tuple[Entry, bytes]] = []

    def begin(self, entries: list[Entry], stale: list[Entry]) -> None:
        """Go on behind these entries. Those that are stale were written too, and do not count any more."""

    def render(self, row: Mapping[str, Any], stem: str) -> tuple[bytes, dict[str, Any]]:
        """Return the file of a row, and what the index says about it besides.

        Args:
            row: The record.
            stem: The file's path below its folder, without its suffix.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Write what depends on all rows. It is called at each flush, behind the files."""

    def recover(self, position: int) -> bool:
        """Go on behind a position, where all files up to it are as they were written; 0 begins anew."""
        self._waiting = []
        before = self._listed()
        if not self._index.recover(position):
            return False
        committed = self._listed(self._index.length) if position else []
        if not all(self._is_as_written(entry) for entry in committed):
            self._index.close()
            return False
        self._continue(committed, before[len(committed) :] if position else before)
        return True

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind files that somebody has changed, where each of these photos still has one."""
        if not self._index.keep(files, _names):
            return False
        entries = self._listed()
        if all(self._path(entry["stem"]).is_file() for entry in entries):
            self._continue(entries, [])
            return True
        self._index.close()
        return False

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self._index.opened()
        stem = self._stem(row["file"])
        data, more = self.render(row, stem)
        self._waiting.append(({"file": row["file"], "stem": stem, "sha256": _digest(data), **more}, data))

    def flush(self) -> int:
        """Put the files of all rows in place, and return the position."""
        import orjson

        for entry, _ in self._waiting:
            self._refuse_others(entry)
        for entry in self._stale:
            self.remove(entry)
        self._stale = []
        for entry, _ in self._waiting:
            self._index.append(orjson.dumps(entry) + b"\n")
        self.folder.mkdir(parents=True, exist_ok=True)
        position = self._index.flush()
        try:
            for entry, data in self._waiting:
                put_whole(self._path(entry["stem"]), data)
                self._own[entry["file"]] = entry
            self._waiting = []
            self.finish()
        except BaseException:
            self._index.doubt()
            raise
        return position

    def close(self) -> None:
        """Close the index. Rows after the last `flush` are lost."""
        self._index.close()
        self._waiting = []

    def _continue(self, entries: list[Entry], stale: list[Entry]) -> None:
        self._own = {entry["file"]: entry for entry in entries}
        self._stale = stale
        self._stems = {entry["stem"].casefold(): entry["file"] for entry in entries}
        self.begin(entries, stale)

    def _stem(self, file: str) -> str:
        """Return a free path for a photo's file: that of the photo without its suffix, else with it."""
        if file in self._own:
            return str(self._own[file]["stem"])
        path = inside(file)
        stem, number = without_suffix(path), 0
        while self._stems.setdefault(stem.casefold(), file) != file:
            stem, number = path + (f".{number}" if number else ""), number + 1
        return stem

    def _path(self, stem: str) -> Path:
        return self.folder / self.folder_name / f"{stem}{self.suffix}"

    def _is_as_written(self, entry: Entry) -> bool:
        try:
            return bool(_digest(self._path(entry["stem"]).read_bytes()) == entry["sha256"])
        except OSError:
            return False

    def remove(self, entry: Entry) -> None:
        """Remove a file that does not count any more. Where somebody has changed it, a copy is kept."""
        path = self._path(entry["stem"])
        if not path.is_file():
            return
        if not self._is_as_written(entry):
            logger.warning("`%s` was changed by hand: what it held is kept as `%s`", path, set_aside(path).name)
        path.unlink()

    def _refuse_others(self, entry: Entry) -> None:
        """Refuse to replace a file that the sink did not write.

        Raises:
            OutputUnavailable: There is one.
        """
        path = self._path(entry["stem"])
        own = [known["stem"] for known in (*self._stale, *filter(None, [self._own.get(entry["file"])]))]
        if path.exists() and entry["stem"] not in own:
            raise OutputUnavailable(f"`{path}` was not written by this sink, and is not replaced", hint=self._hint)

    def _listed(self, length: int | None = None) -> list[Entry]:
        """Return the entries of the index.

        Args:
            length: How many bytes of the index count; None counts all.
        """
        wanted = {"file", "stem", "sha256"}
        return [entry for entry in self._index.entries(length) if wanted <= entry.keys()]


def _names(lines: BinaryIO) -> Iterator[str]:
    import orjson

    for line in lines:
        yield orjson.loads(line)["file"]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
