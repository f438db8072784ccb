"""Files of models that come in over the network part by part, and models that go out over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from olpipe.model import Layer, ModelName


class PartialBlob(Protocol):
    """A blob that comes in part by part. What came so far survives the end of the process.

    Several threads may write at the same time, each at a place of its own. One thread calls the other methods.
    """

    size: int
    """How many bytes the blob has."""

    path: Path
    """The file that it comes into. It is as long as the blob, with zeros where nothing has come yet."""

    def missing(self) -> Sequence[tuple[int, int]]:
        """Return what has not come yet: where each gap begins, and where it ends (exclusive)."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes in their place. Bytes that are there already stay as they are.

        Raises:
            ValueError: They do not lie within the blob, or nothing comes in any more.
            DiskFull: There was no space.
        """

    def hash_more(self) -> int:
        """Hash some more of what has come without a gap from the beginning on.

        Call this while the blob comes in, so that little is left to be hashed at the end.

        Returns:
            How many bytes could be hashed at the beginning of this call; 0 when there was nothing to do.
        """

    def keep(self) -> Layer:
        """Put the whole blob in the store and return a layer for it.

        Raises:
            ValueError: Something is missing.
            DigestMismatch: The bytes have another digest. Nothing of them is kept.
        """

    def discard(self) -> None:
        """Forget what came, because it is of no use."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A model that is sent to a place where others find it.

    Attributes:
        name: Its name.
        manifest: The bytes of its manifest.
        config: The layer of its config.
        layers: Its other layers.
        path_of: Returns the file of the blob with a digest.
    """

    name: ModelName
    manifest: bytes
    config: Layer
    layers: Sequence[Layer]
    path_of: Callable[[str], Path]
