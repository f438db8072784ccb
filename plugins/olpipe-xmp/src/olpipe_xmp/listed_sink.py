"""What the sinks have in common: a list of what was done for each photo, by which they go on after a sudden end."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from olpipe.interfaces import Sink
from olpipe.row_file import RowFile
from olpipe_xmp.errors import LeftOut

logger = logging.getLogger(__name__)

LIST = ".olpipe-xmp.jsonl"
"""The list, in the sink's own folder: a line for each row, in their order."""

Entry = dict[str, Any]
"""A line of the list: `file`, `left_out` with a reason, and `sha256` of a file that the sink has made."""

_MOST_WARNINGS = 5
_OF_ONE_PHOTO = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EISDIR)


class ListedSink(Sink):
    """Applies rows to files, and lists them.

    Rows wait until `flush`. It changes the files first and the list behind them. Applying a row a second time changes
    nothing, so it does no harm when a run ends in between.
    """

    takes_rejected = False

    def __init__(self, folder: Path, hint: str) -> None:
        """Open nothing yet: `recover` comes first."""
        self._folder = folder
        self._list = RowFile(folder / LIST, beginning=b'{"file":', foreign="holds something else", hint=hint)
        self._waiting: list[Mapping[str, Any]] = []
        self._stale: list[Entry] = []  # what earlier runs have made, and is removed at the first flush
        self._left_out = 0
        self.made: dict[str, str] = {}
        """The digest of each file that the sink has made and that held nothing else, by the name of its photo."""

    def apply(self, row: Mapping[str, Any]) -> Entry:
        """Bring a row to its file, and return what the list says about it besides.

        Raises:
            LeftOut: Nothing can be written for this photo.
        """
        raise NotImplementedError

    def is_there(self, entry: Entry) -> bool:
        """Say whether what was made for a row is still there. Somebody may have changed it."""
        return True

    def remove(self, entry: Entry) -> None:
        """Remove what was made for a row that is no longer true."""

    def recover(self, position: int) -> bool:
        """Go on behind a position, where the list is as it was written and nothing is missing; 0 begins anew."""
        self._waiting = []
        before = self._listed()
        self.made = {entry["file"]: entry["sha256"] for entry in before if "sha256" in entry}
        if not self._list.recover(position):
            return False
        committed = self._listed(self._list.length) if position else []
        if not all(self.is_there(entry) for entry in committed):
            self._list.close()
            return False
        self._stale = before[len(committed) :]
        return True

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self._list.opened()
        self._waiting.append(row)

    def flush(self) -> int:
        """Bring all rows to their files, and return the position."""
        import orjson

        again = {row["file"] for row in self._waiting}
        for entry in self._stale:
            if entry["file"] not in again:
                with suppress(PermissionError):
                    self.remove(entry)
        entries = [{"file": row["file"], **self._applied(row)} for row in self._waiting]
        self._stale, self._waiting = [], []
        for entry in entries:
            self._list.append(orjson.dumps(entry) + b"\n")
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._list.flush()

    def close(self) -> None:
        """Close the list. Rows after the last `flush` are lost."""
        self._list.close()
        self._waiting = []
        if self._left_out > _MOST_WARNINGS:
            logger.warning("%d photos got no XMP: `%s` says why", self._left_out, self._folder / LIST)
        self._left_out = 0

    def _applied(self, row: Mapping[str, Any]) -> Entry:
        """Apply a row. What goes wrong with one photo does not stop the others."""
        try:
            return self.apply(row)
        except LeftOut as error:
            reason = str(error)
        except OSError as error:
            if error.errno not in _OF_ONE_PHOTO:
                raise
            reason = f"it cannot be written: {error.strerror}"
        self._left_out += 1
        if self._left_out <= _MOST_WARNINGS:
            logger.warning("`%s` gets no XMP: %s", row["file"], reason)
        return {"left_out": reason}

    def _listed(self, length: int | None = None) -> list[Entry]:
        """Return the entries of the list.

        Args:
            length: How many bytes of it count; None counts all.
        """
        return [entry for entry in self._list.entries(length) if isinstance(entry.get("file"), str)]
