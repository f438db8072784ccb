"""XMP in JPEG files: segments in front of the pixels, which stay byte for byte as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from olpipe_xmp.errors import LeftOut
from olpipe_xmp.names import EXTENDED
from olpipe_xmp.packet import LARGEST_BYTES, Packet
from olpipe_xmp.readable import Readable

BEGINNING = b"\xff\xd8\xff"
"""Every JPEG begins like this."""

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_LARGEST_SEGMENT = 0xFFFF - 2
_CHUNK_BYTES = 65000
_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_START_OF_SCAN, _END = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class _Segment:
    marker: int
    start: int
    end: int
    payload: bytes


def read(data: Readable) -> Packet:
    """Return the packet of a JPEG; an empty one where it has none."""
    segments = list(_segments(data))
    main = next((one.payload[len(_XMP) :] for one in segments if _is(one, _XMP)), None)
    if main is None:
        return Packet.new()
    packet = Packet.read(main)
    digest = packet.text(EXTENDED)
    if digest:
        packet.remove(EXTENDED)
        packet.join(Packet.read(_extended(segments, digest.encode("ascii", "replace"))))
    return packet


def write(data: bytes, packet: Packet) -> bytes:
    """Return the JPEG with another packet. It stands in front of everything but JFIF's and EXIF's segments."""
    segments = list(_segments(data))
    main, extended = packet.split(_LARGEST_SEGMENT - len(_XMP))
    gone = _ours(segments)
    multiple = next((one.start for one in segments if one.marker == _APP2 and one.payload.startswith(b"MPF\0")), None)
    if multiple is not None and any(one.start > multiple for one in gone):
        raise LeftOut("it holds several pictures, and its XMP stands behind their list")
    at = 2
    for one in segments:
        if one.start != at or not (one.marker == _APP0 or _is(one, b"Exif\0\0")):
            break
        at = one.end
    new = _segment(_XMP + main) + b"".join(_extension(extended))
    return data[:at] + new + _without(data, gone, at)


def rest(data: bytes) -> bytes:
    """Return everything but the XMP."""
    return data[:2] + _without(data, _ours(list(_segments(data))), 2)


def _ours(segments: list[_Segment]) -> list[_Segment]:
    """Return the segments of the packet that `read` reads."""
    main = next((one for one in segments if _is(one, _XMP)), None)
    return [one for one in segments if one is main or _is(one, _EXTENSION)]


def _without(data: bytes, gone: list[_Segment], start: int) -> bytes:
    parts = []
    for one in gone:
        parts.append(data[start : max(start, one.start)])
        start = max(start, one.end)
    return b"".join([*parts, data[start:]])


def _is(segment: _Segment, beginning: bytes) -> bool:
    return segment.marker == _APP1 and segment.payload.startswith(beginning)


def _segments(data: Readable) -> Iterator[_Segment]:
    """Yield the segments in front of the pixels.

    Raises:
        LeftOut: The file is damaged.
    """
    at = 2
    while True:
        start = at
        while data[at : at + 2] == b"\xff\xff":  # a marker may have any number of these in front
            at += 1
        head = data[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF:
            raise LeftOut("it is a damaged JPEG")
        if head[1] in (_START_OF_SCAN, _END):
            return
        length = int.from_bytes(head[2:4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise LeftOut("it is a damaged JPEG")
        yield _Segment(head[1], start, end, data[at + 4 : end])
        at = end


def _segment(payload: bytes) -> bytes:
    return bytes([0xFF, _APP1]) + (len(payload) + 2).to_bytes(2, "big") + payload


def _extension(extended: bytes) -> Iterator[bytes]:
    """Yield the segments that hold what does not fit into the first one."""
    digest = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    for offset in range(0, len(extended), _CHUNK_BYTES):
        place = len(extended).to_bytes(4, "big") + offset.to_bytes(4, "big")
        yield _segment(_EXTENSION + digest + place + extended[offset : offset + _CHUNK_BYTES])


def _extended(segments: list[_Segment], digest: bytes) -> bytes:
    """Put together what the segments of extended XMP hold."""
    parts, size, at = {}, 0, len(_EXTENSION)
    for one in segments:
        if _is(one, _EXTENSION + digest):
            size = int.from_bytes(one.payload[at + 32 : at + 36], "big")
            parts[int.from_bytes(one.payload[at + 36 : at + 40], "big")] = one.payload[at + 40 :]
    found = b"".join(parts[offset] for offset in sorted(parts))
    if not found or len(found) != size or size > LARGEST_BYTES:
        raise LeftOut("its extended XMP is damaged")
    return found
