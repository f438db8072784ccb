"""The archives that this process has open, and what paths that lead into them stand for.

A photo in a compressed tar archive is not found by its place: all before it has to be decompressed. So archives stay
open, and whoever reads their photos in the order of the listing goes through each of them once.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from olpipe.archives import is_archive, may_lead_into
from olpipe.errors import ImageUnreadable

if TYPE_CHECKING:
    from olpipe.archives.kept_listings import KeptListings
    from olpipe.archives.reader import ArchiveReader, Listing

_MOST_OPEN = 4

_Key = tuple[int, str, int, int]

_lock = threading.RLock()
_open: OrderedDict[_Key, ArchiveReader] = OrderedDict()


def listing(archive: Path, kept: KeptListings | None = None) -> Listing:
    """Return what is in an archive.

    Args:
        archive: The archive.
        kept: Listings of earlier runs, for archives that would have to be decompressed.

    Raises:
        ImageUnreadable: It is damaged.
        OSError: It cannot be opened.
    """
    with _lock:
        reader = _reader(archive)
        return reader.listing() if kept is None or not reader.in_order else _kept_listing(archive, reader, kept)


def _kept_listing(archive: Path, reader: ArchiveReader, kept: KeptListings) -> Listing:
    """Return the listing that an earlier run has made, or make it and keep it."""
    from olpipe.archives.kept_listings import state_of

    state = state_of(archive)
    found = kept.read(state)
    if found is not None:
        reader.know(found)
        return found
    found = reader.listing()
    if state_of(archive) == state:  # it was not changed in the meantime
        kept.write(state, found)
    return found


def has_order(archive: Path) -> bool:
    """Say whether the files of an archive can only be read in their order."""
    with _lock:
        return _reader(archive).in_order


def refuse_damage(archive: Path) -> NoReturn:
    """Say what is wrong with an archive.

    Raises:
        ImageUnreadable: It is damaged, or was when it was found.
        OSError: It cannot be opened.
    """
    damage = listing(archive).damage or "the archive was changed in the meantime"
    raise ImageUnreadable(damage, hint="make or download it again; files that could be read in it are described")


def read(archive: Path, number: int, name: str, *, most: int = -1) -> bytes:
    """Return the bytes of a file in an archive.

    Args:
        archive: The archive.
        number: The file's place, as the listing gives it.
        name: Its path in the archive.
        most: Read only this many bytes; all when negative.

    Raises:
        ImageError: The file is damaged, encrypted, too large, or not there any more.
        OSError: The archive cannot be opened or read.
    """
    with _lock:
        return _reader(archive).read(number, name, most)


def archive_of(path: Path) -> Path | None:
    """Return the archive into which a path leads; None where it leads into none."""
    if not may_lead_into(str(path)):
        return None
    return next((parent for parent in path.parents if is_archive(parent.name) and parent.is_file()), None)


def read_photo(path: Path) -> bytes:
    """Return the bytes of a photo, whether it is a file or lies in an archive.

    Raises:
        ImageError: It lies in an archive, and it is damaged, encrypted or too large.
        OSError: It is not there, or cannot be read.
    """
    archive = archive_of(path)
    if archive is None:
        return path.read_bytes()
    name = path.relative_to(archive).as_posix()
    with _lock:
        found = next((entry for entry in listing(archive).entries if entry.name == name), None)
        if found is None:
            raise FileNotFoundError(f"`{archive}` has no file `{name}`")
        return read(archive, found.number, name)


def close_archives() -> None:
    """Close all archives. One that is read again is opened again."""
    with _lock:
        while _open:
            _open.popitem()[1].close()


def _reader(archive: Path) -> ArchiveReader:
    """Return an open archive. One that was changed since is opened anew, and so is one of another process."""
    status = os.stat(archive)
    key = (os.getpid(), os.path.abspath(archive), status.st_size, status.st_mtime_ns)
    if key not in _open:
        if not os.path.isfile(archive):
            raise ImageUnreadable("the archive is not a regular file")
        _open[key] = _opened(archive)
    _open.move_to_end(key)
    while len(_open) > _MOST_OPEN:
        _open.popitem(last=False)[1].close()
    return _open[key]


def _opened(archive: Path) -> ArchiveReader:
    from olpipe.archives.tar_reader import TarReader
    from olpipe.archives.zip_reader import ZipReader

    return ZipReader(archive) if archive.name.lower().endswith((".zip", ".cbz")) else TarReader(archive)
