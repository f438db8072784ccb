"""What the sinks have in common whose files are made of all rows at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from olpipe.interfaces import Sink
from olpipe.row_documents import Document, RowDocuments


class DocumentsSink(Sink):
    """Keeps rows, and writes the documents of all of them."""

    def __init__(self, folder: Path, documents: Mapping[str, Document], *, hint: str) -> None:
        """Open nothing yet: `recover` comes first.

        Args:
            folder: Where the documents lie.
            documents: What writes each document, by its name.
            hint: What to do where the folder holds something of somebody else.
        """
        self._rows = RowDocuments(folder, documents, hint=hint)

    def recover(self, position: int) -> bool:
        """Go on behind a position; 0 begins anew."""
        return self._rows.recover(position)

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed, where each is still the row of one of these photos."""
        return self._rows.keep(files)

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self._rows.append(row)

    def flush(self) -> int:
        """Write every row to the disk and return the position."""
        return self._rows.flush()

    def close(self) -> None:
        """Finish the documents."""
        self._rows.close()
