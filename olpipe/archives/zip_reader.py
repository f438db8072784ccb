"""Reads zip archives. Their files can be read in any order."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from olpipe.archives.names import inside
from olpipe.archives.reader import ArchiveReader, Entry, Listing, explaining_damage, refuse_large, taken
from olpipe.errors import ImageUnreadable, ImageUnsupported

_ENCRYPTED = 0x1
_UTF_8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What is read. With the other methods, which hardly anybody uses, a few bytes fill the memory at once."""


class ZipReader(ArchiveReader):
    """An open zip archive."""

    def __init__(self, path: Path) -> None:
        """Open an archive.

        Raises:
            ImageUnreadable: It is damaged.
            OSError: It cannot be opened.
        """
        with explaining_damage("the archive"):
            self._archive = zipfile.ZipFile(path)
        self._files = self._archive.infolist()

    def listing(self) -> Listing:
        """Return what is in it."""
        found, links = [], 0
        for number, info in enumerate(self._files):
            kind = stat.S_IFMT(info.external_attr >> 16)  # what Unix says of the file; 0 where another system packed it
            links += stat.S_ISLNK(kind)
            if kind in (0, stat.S_IFREG) and not info.is_dir():
                found.append(Entry(number, inside(_name(info)), info.file_size))
        return Listing.of(found, links, "")

    def read(self, number: int, name: str, most: int = -1) -> bytes:
        """Return the bytes of a file."""
        info = self._files[number] if number < len(self._files) else None
        if info is None or inside(_name(info)) != name:
            raise ImageUnreadable("the archive was changed in the meantime", hint="run the same command again")
        if info.flag_bits & _ENCRYPTED:
            hint = "unpack the archive with its password, and give the folder"
            raise ImageUnreadable("the file is encrypted in its archive", hint=hint)
        if info.compress_type not in _METHODS:
            message = f"the file is compressed in a way that is not read in archives (method {info.compress_type})"
            raise ImageUnsupported(message, hint="unpack the archive, and give the folder")
        refuse_large(info.file_size)
        with explaining_damage("the file in its archive"), self._archive.open(info) as stream:
            return taken(stream, info.file_size, most)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def _name(info: zipfile.ZipInfo) -> str:
    """Return a file's name. Many programs write UTF-8 without saying so; what is none is taken as the format says."""
    if info.flag_bits & _UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
