"""XMP in photos, whatever their format is."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from olpipe_xmp import jpeg, png
from olpipe_xmp.errors import LeftOut
from olpipe_xmp.packet import Packet
from olpipe_xmp.readable import Readable

_FORMATS: tuple[ModuleType, ...] = (jpeg, png)


def read_photo(path: Path) -> Packet | None:
    """Return the packet of a photo; None where there is no such file, or its format is not one that is read here.

    Not more of the file is read than is needed.
    """
    try:
        with path.open("rb") as file:
            return read_bytes(_Window(file))
    except (OSError, LeftOut):
        return None


def read_bytes(data: Readable) -> Packet:
    """Return the packet of a photo's bytes.

    Raises:
        LeftOut: Its format is not one that is read here, or it is damaged.
    """
    packet: Packet = _format(data).read(data)
    return packet


def write_bytes(data: bytes, packet: Packet) -> bytes:
    """Return a photo's bytes with another packet, and nothing else changed.

    Raises:
        LeftOut: That cannot be done.
    """
    kind = _format(data)
    new: bytes = kind.write(data, packet)
    if kind.rest(new) != kind.rest(data):
        raise LeftOut("its pixels would change")
    return new


class _Window:
    """A file whose parts are read when they are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))


def _format(data: Readable) -> ModuleType:
    for kind in _FORMATS:
        if data[: len(kind.BEGINNING)] == kind.BEGINNING:
            return kind
    raise LeftOut("XMP goes only into JPEG and PNG; `xmp` and `xmp-beside` write sidecars for all formats")
