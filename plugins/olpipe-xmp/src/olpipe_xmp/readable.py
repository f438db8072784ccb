"""What formats read: the bytes of a photo, or a file of which only a part is needed."""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """Bytes, or a file that is read as if it were bytes."""

    def __len__(self) -> int:
        """Return how many bytes there are."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return some of the bytes."""
