"""XMP in PNG files: a chunk in front of the pixels, which stay byte for byte as they are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from olpipe_xmp.errors import LeftOut
from olpipe_xmp.packet import LARGEST_BYTES, Packet
from olpipe_xmp.readable import Readable

BEGINNING = b"\x89PNG\r\n\x1a\n"
"""Every PNG begins like this."""

_KEYWORD = b"XML:com.adobe.xmp\0"
_KIND = b"iTXt"


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    end: int


def read(data: Readable) -> Packet:
    """Return the packet of a PNG; an empty one where it has none."""
    for chunk in _ours(data):
        return Packet.read(_text(data[chunk.start + 8 : chunk.end - 4]))
    return Packet.new()


def write(data: bytes, packet: Packet) -> bytes:
    """Return the PNG with another packet, which comes first behind the header."""
    at = next(_chunks(data)).end
    payload = _KEYWORD + b"\0\0\0\0" + packet.to_bytes()  # not compressed; no language and no translated keyword
    size, check = len(payload).to_bytes(4, "big"), zlib.crc32(_KIND + payload).to_bytes(4, "big")
    return data[:at] + size + _KIND + payload + check + _without(data, at)


def rest(data: bytes) -> bytes:
    """Return everything but the XMP."""
    at = len(BEGINNING)
    return data[:at] + _without(data, at)


def _ours(data: Readable) -> list[_Chunk]:
    """Return the chunk with the packet."""
    return [
        chunk
        for chunk in _chunks(data)
        if chunk.kind == _KIND and data[chunk.start + 8 : chunk.start + 8 + len(_KEYWORD)] == _KEYWORD
    ][:1]


def _without(data: bytes, start: int) -> bytes:
    for chunk in _ours(data):
        return data[start : chunk.start] + data[chunk.end :]
    return data[start:]


def _chunks(data: Readable) -> Iterator[_Chunk]:
    """Yield all chunks.

    Raises:
        LeftOut: The file is damaged.
    """
    at, kind = len(BEGINNING), b""
    while kind != b"IEND":
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(kind) < 4 or end > len(data) or (at == len(BEGINNING) and kind != b"IHDR"):
            raise LeftOut("it is a damaged PNG")
        yield _Chunk(kind, at, end)
        at = end


def _text(payload: bytes) -> bytes:
    """Return the text of the chunk, which may be compressed."""
    compressed = payload[len(_KEYWORD) : len(_KEYWORD) + 1] == b"\1"
    parts = payload[len(_KEYWORD) + 2 :].split(b"\0", 2)
    if len(parts) < 3:
        raise LeftOut("its XMP is damaged")
    if not compressed:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], LARGEST_BYTES + 1)
    except zlib.error as error:
        raise LeftOut(f"its XMP is damaged: {error}") from error
