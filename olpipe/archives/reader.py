"""What the readers of all kinds of archives have in common."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from olpipe.archives import MOST_BYTES
from olpipe.errors import ImageTooLarge, ImageUnreadable, first_line
from olpipe.sizes import size

_STEP = 1 << 20
_OF_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(ValueError, OverflowError, RecursionError, IndexError),
)
"""What the libraries raise for damaged and for hostile archives."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive.

    Attributes:
        number: Its place among everything that is in the archive.
        name: Its path in the archive, which never leads out of it.
        size_bytes: How many bytes it claims to have.
    """

    number: int
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in an archive.

    Attributes:
        entries: The files, in their order. Where several have the same name, only the last one is there, as it would
            be if the archive was unpacked.
        links: How many links are in it. They are never followed.
        damage: Why there may be more that cannot be found; empty where the archive is whole.
    """

    entries: tuple[Entry, ...]
    links: int = 0
    damage: str = ""

    @classmethod
    def of(cls, found: Iterable[Entry], links: int, damage: str) -> Listing:
        """Return the listing of what was found."""
        last = {entry.name: entry for entry in found if entry.name}
        return cls(tuple(sorted(last.values(), key=lambda entry: entry.number)), links, damage)


class ArchiveReader(ABC):
    """An open archive. One thread uses it at a time."""

    in_order: bool = False
    """Whether its files can only be read in their order, so that going back means to begin anew."""

    @abstractmethod
    def listing(self) -> Listing:
        """Return what is in it. The archive is looked through once for that."""

    def know(self, listing: Listing) -> None:
        """Take a listing that was made before, so that the archive is not looked through for it."""

    @abstractmethod
    def read(self, number: int, name: str, most: int = -1) -> bytes:
        """Return the bytes of a file.

        Args:
            number: Its place.
            name: Its path in the archive. Where another file has that place now, the archive was changed.
            most: Read only this many bytes; all when negative.

        Raises:
            ImageUnreadable: It is damaged, encrypted or not there.
            ImageTooLarge: It has, or claims to have, more than `MOST_BYTES`.
            ImageUnsupported: It is compressed in a way that cannot be read.
            OSError: The archive cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the archive."""


@contextmanager
def explaining_damage(what: str) -> Iterator[None]:
    """Turn what the libraries raise for damaged archives into one clear error.

    Raises:
        ImageUnreadable: Something is damaged.
    """
    try:
        yield
    except _OF_DAMAGE as error:
        raise ImageUnreadable(f"{what} is damaged: {first_line(error)}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ImageUnreadable(f"{what} is damaged: {first_line(error)}") from error  # bz2 and gzip raise it like that


def refuse_large(size_bytes: int) -> None:
    """Refuse a file by the size that it claims.

    Raises:
        ImageTooLarge: It claims too much.
    """
    if size_bytes > MOST_BYTES:
        raise ImageTooLarge(
            f"the file claims to have {size(size_bytes)} in its archive; at most {size(MOST_BYTES)} are read",
            hint="if it is a photo, unpack the archive, and give the folder",
        )


def taken(stream: IO[bytes], size_bytes: int, most: int) -> bytes:
    """Read a file that claims to have so many bytes. Not more than that, and not more than `most`, is kept.

    Raises:
        EOFError: It ends early.
    """
    wanted = size_bytes if most < 0 else min(most, size_bytes)
    parts: list[bytes] = []
    missing = wanted
    while missing > 0:
        part = stream.read(min(missing, _STEP))
        if not part:
            raise EOFError("the file ends early")
        parts.append(part)
        missing -= len(part)
    if most < 0:
        stream.read(1)  # so that a checksum is compared
    return b"".join(parts)
