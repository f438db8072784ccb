"""Reads tar archives. The files of a compressed one can only be read in their order."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from olpipe.archives.names import inside
from olpipe.archives.reader import ArchiveReader, Entry, Listing, explaining_damage, refuse_large, taken
from olpipe.errors import ImageTooLarge, ImageUnreadable

_OPENERS: tuple[tuple[bytes, Callable[[IO[bytes]], IO[bytes]]], ...] = (
    (b"\x1f\x8b", lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file))),
    (b"BZh", lambda file: cast("IO[bytes]", bz2.BZ2File(file))),
    (b"\xfd7zXZ\x00", lambda file: cast("IO[bytes]", lzma.LZMAFile(file))),  # noqa: SIM115
)
"""How the kinds of compression begin, and what reads them."""

_BLOCK = tarfile.BLOCKSIZE
_MOST_AT_ONCE = 8 << 20
"""More is never asked for at once, except by headers that are made to fill the memory."""

_MOST_GROWTH, _FREE_BYTES = 250, 128 << 20
"""A compressed archive that becomes more than so many times larger, and larger than so many bytes, is not read on."""

_PASSES = 2
"""How many places of a compressed archive are kept: one for who reads photos, one for who copies them behind that."""

_KEPT_BYTES = 64 << 20
"""So much of what a pass has gone by is kept, because others ask for photos nearly in their order."""

_CHANGED = "the archive was changed in the meantime"
_AGAIN = "run the same command again"


class _Guarded(io.RawIOBase):
    """What tarfile reads from: it never reads much at once, and never more than an honest archive holds."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most, self._done = stream, most, 0
        self.last_block = b""
        """The last block of the size of a header."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise tarfile.ReadError("a header claims to be very large")
        data = self._stream.read(size)
        self._done += len(data)
        if self._done > self._most:
            raise tarfile.ReadError(f"it becomes more than {_MOST_GROWTH} times larger when it is unpacked")
        if size == _BLOCK:
            self.last_block = data
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        missing = offset - self._stream.tell()
        self._done += max(0, missing)
        if self._done > self._most:
            raise tarfile.ReadError(f"it becomes more than {_MOST_GROWTH} times larger when it is unpacked")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class _Pass:
    """One way through an archive, from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            start = self._file.read(8)
            self._file.seek(0)
            opener = next((opener for magic, opener in _OPENERS if start.startswith(magic)), None)
            self.is_compressed = opener is not None
            self._stream = self._file if opener is None else opener(self._file)
            size_bytes = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)
            most = max(size_bytes * _MOST_GROWTH, _FREE_BYTES) if opener else 1 << 63
            self._guarded = _Guarded(self._stream, most)
            self.tar = tarfile.TarFile(fileobj=cast("IO[bytes]", self._guarded), errors="surrogateescape")
        except BaseException:
            self._file.close()
            raise
        self.at = 0
        """The place of the next file."""

    def next(self) -> tarfile.TarInfo | None:
        """Return the header of what comes next; None at the end.

        Raises:
            tarfile.ReadError: The archive does not go on as it should.
        """
        before = self.tar.offset if self.at else -1
        info = self.tar.next()
        if info is None:
            if self._guarded.last_block.strip(b"\0") or len(self._guarded.last_block) % _BLOCK:
                raise tarfile.ReadError("it ends in what is no header")
            return None
        if info.size < 0 or self.tar.offset <= before:
            raise tarfile.ReadError("a header leads back")
        self.at += 1
        return info

    def forget(self) -> None:
        """Let go of the headers that were read, which tarfile keeps."""
        self.tar.members = []  # type: ignore[attr-defined]

    def data(self, info: tarfile.TarInfo, most: int = -1) -> bytes:
        """Return the bytes of a file."""
        stream = self.tar.extractfile(info)
        assert stream is not None, "it is a regular file"
        with stream:
            return taken(stream, info.size, most)

    def close(self) -> None:
        self.tar.close()
        if self._stream is not self._file:
            self._stream.close()
        self._file.close()


class TarReader(ArchiveReader):
    """An open tar archive, compressed or not."""

    def __init__(self, path: Path) -> None:
        """Open an archive.

        Raises:
            ImageUnreadable: It is damaged.
            OSError: It cannot be opened.
        """
        self._path = path
        with explaining_damage("the archive"):
            self._passes = [_Pass(path)]
        self.in_order = self._passes[0].is_compressed
        self._found: dict[int, tarfile.TarInfo] | None = None  # the files, where they can be read in any order
        self._listing: Listing | None = None
        self._kept: OrderedDict[int, tuple[str, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def listing(self) -> Listing:
        """Return what is in it."""
        if self._listing is None:
            self._listing = self._listed()
        return self._listing

    def know(self, listing: Listing) -> None:
        """Take a listing that was made before."""
        self._listing = listing

    def _listed(self) -> Listing:
        entries: list[Entry] = []
        files: dict[int, tarfile.TarInfo] = {}
        links, damage = 0, ""
        way = self._begun() if self.in_order else self._passes[0]
        try:
            with explaining_damage("the archive"):
                for number, info in _headers(way):
                    links += info.issym() or info.islnk()
                    if not info.isreg():
                        continue
                    entries.append(Entry(number, inside(info.name), info.size))
                    if self.in_order:
                        way.forget()
                    else:
                        files[number] = info
        except ImageUnreadable as error:
            damage = error.message
        if not self.in_order:
            self._found = files
        return Listing.of(entries, links, damage)

    def read(self, number: int, name: str, most: int = -1) -> bytes:
        """Return the bytes of a file."""
        if not self.in_order:
            self.listing()
            info = (self._found or {}).get(number)
            if info is None or inside(info.name) != name:
                raise ImageUnreadable(_CHANGED, hint=_AGAIN)
            refuse_large(info.size)
            with explaining_damage("the file in its archive"):
                return self._passes[0].data(info, most)
        if number in self._kept and self._kept[number][0] == name:
            data = self._kept[number][1]
            return data if most < 0 else data[:most]
        with explaining_damage("the archive"):
            data = self._read_on(number, name)
        return data if most < 0 else data[:most]

    def _read_on(self, number: int, name: str) -> bytes:
        """Go on to a file, on the way that has come nearest to it."""
        behind = [way for way in self._passes if way.at <= number]
        way = max(behind, key=lambda one: one.at) if behind else self._begun()
        self._passes.remove(way)
        self._passes.append(way)  # the one that was used last
        try:
            for place, info in _headers(way):
                way.forget()
                if place == number:
                    if not info.isreg() or inside(info.name) != name:
                        break
                    refuse_large(info.size)
                    data = way.data(info)
                    self._keep(place, name, data)
                    return data
                if info.isreg() and info.size <= _KEPT_BYTES // 2:
                    self._keep(place, inside(info.name), way.data(info))
        except ImageTooLarge:
            raise  # nothing of it was read
        except BaseException:
            self._passes.remove(way)  # nobody knows where it is now
            way.close()
            raise
        raise ImageUnreadable(_CHANGED, hint=_AGAIN)

    def _begun(self) -> _Pass:
        """Begin a new way. The one that was not used for the longest time goes."""
        if len(self._passes) >= _PASSES:
            self._passes.pop(0).close()
        self._passes.append(_Pass(self._path))
        return self._passes[-1]

    def _keep(self, number: int, name: str, data: bytes) -> None:
        if number in self._kept or len(data) > _KEPT_BYTES:
            return
        self._kept[number] = name, data
        self._kept_bytes += len(data)
        while self._kept_bytes > _KEPT_BYTES:
            _, (_, gone) = self._kept.popitem(last=False)
            self._kept_bytes -= len(gone)

    def close(self) -> None:
        """Close the archive."""
        for way in self._passes:
            way.close()
        self._passes = []
        self._kept.clear()


def _headers(way: _Pass) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """Yield what comes next on a way, each with its place."""
    while (info := way.next()) is not None:
        yield way.at - 1, info
