"""Length-prefixed frames over a pipe: a JSON header and raw attachments.

    magic  header length  attachment count  attachment lengths   header  attachments
    4      u32            u32               u64 each             …       …

All numbers are little-endian. Writer and reader check the same bounds. So a corrupted length is an error, and nobody
tries to read gigabytes because of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"olp1"
MAX_HEADER_BYTES = 32 << 20
MAX_ATTACHMENTS = 1024
MAX_ATTACHMENT_BYTES = 512 << 20

_PREFIX = struct.Struct("<4sII")


class FrameError(ValueError):
    """Bytes that are not a frame, or a frame that is out of bounds."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A header and its attachments, as they go through a pipe."""

    header: bytes
    attachments: Sequence[bytes] = ()

    def check(self) -> None:
        """Check the frame against the bounds.

        Raises:
            FrameError: The frame is too large.
        """
        _check([len(data) for data in self.attachments], len(self.header))


def write(pipe: BinaryIO, frame: Frame) -> None:
    """Write one frame and flush it."""
    frame.check()
    lengths = [len(data) for data in frame.attachments]
    prefix = _PREFIX.pack(MAGIC, len(frame.header), len(lengths))
    pipe.write(prefix + struct.pack(f"<{len(lengths)}Q", *lengths) + frame.header)
    for data in frame.attachments:
        pipe.write(data)
    pipe.flush()


def read(pipe: BinaryIO) -> Frame | None:
    """Read one frame; None when the pipe was closed between two frames.

    Raises:
        FrameError: What came is not a frame, is out of bounds, or ends in the middle.
    """
    first = pipe.read(_PREFIX.size)
    if not first:
        return None
    if len(first) < _PREFIX.size:
        raise FrameError("the pipe was closed in the middle of a frame")
    magic, header_bytes, count = _PREFIX.unpack(first)
    if magic != MAGIC:
        raise FrameError(f"expected a frame, got {first!r}")
    if count > MAX_ATTACHMENTS:
        raise FrameError(f"a frame holds at most {MAX_ATTACHMENTS} attachments, not {count}")
    lengths = struct.unpack(f"<{count}Q", _exactly(pipe, 8 * count))
    _check(lengths, header_bytes)
    header = _exactly(pipe, header_bytes)
    return Frame(header, tuple(_exactly(pipe, length) for length in lengths))


def _check(lengths: Sequence[int], header_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES:
        raise FrameError(f"a frame's text takes at most {MAX_HEADER_BYTES} bytes, not {header_bytes}")
    if len(lengths) > MAX_ATTACHMENTS:
        raise FrameError(f"a frame holds at most {MAX_ATTACHMENTS} attachments, not {len(lengths)}")
    if sum(lengths) > MAX_ATTACHMENT_BYTES:
        raise FrameError(f"a frame's images take at most {MAX_ATTACHMENT_BYTES} bytes, not {sum(lengths)}")


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise FrameError("the pipe was closed in the middle of a frame")
    return data
