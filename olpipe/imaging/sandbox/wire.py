"""What goes through the pipes between a process that decodes photos and the one that asks it.

Both directions have a JSON header with its length before it. A file follows the header of a request, and pixels follow
that of an answer. The process that decodes is not trusted: its answers are checked here, and nothing in them is run.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_HEADER_BYTES = 1 << 20

_LENGTHS = struct.Struct("<IQ")


class WireError(ValueError):
    """What came through the pipe is no message, or says what cannot be."""


def write(pipe: BinaryIO, header: Mapping[str, Any], data: bytes | memoryview = b"") -> None:
    """Write a message and flush it."""
    text = orjson.dumps(header)
    pipe.write(_LENGTHS.pack(len(text), len(data)) + text)
    pipe.write(data)
    pipe.flush()


def read_header(pipe: BinaryIO) -> tuple[dict[str, Any], int] | None:
    """Return the header of the next message, and how many bytes follow; None where the pipe was closed.

    Raises:
        WireError: It is no header.
    """
    first = pipe.read(_LENGTHS.size)
    if len(first) < _LENGTHS.size:
        return None
    header_bytes, data_bytes = _LENGTHS.unpack(first)
    if header_bytes > MOST_HEADER_BYTES:
        raise WireError(f"a header has at most {MOST_HEADER_BYTES} bytes, not {header_bytes}")
    text = pipe.read(header_bytes)
    if len(text) < header_bytes:
        return None
    try:
        header = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise WireError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("the header is no object")
    return header, data_bytes


def read_pixels(pipe: BinaryIO, shape: Any, data_bytes: int, most_pixels: int) -> npt.NDArray[np.uint8] | None:
    """Read pixels into the array that the caller gets, without another copy; None where the pipe was closed.

    Args:
        pipe: The pipe.
        shape: Height and width, as the header says.
        data_bytes: How many bytes follow the header.
        most_pixels: How many pixels there may be.

    Raises:
        WireError: The numbers cannot be.
    """
    import numpy as np

    height, width = whole(shape[0]), whole(shape[1])
    if height * width > most_pixels or height * width * 3 != data_bytes:
        raise WireError(f"{data_bytes} bytes are no picture of {width} x {height} pixels")
    pixels = np.empty((height, width, 3), np.uint8)
    left = pixels.reshape(-1).data
    while left:
        got = pipe.readinto(left)  # type: ignore[attr-defined]
        if not got:
            return None
        left = left[got:]
    return pixels


def whole(value: Any) -> int:
    """Return a number from a header, which is whole and above zero.

    Raises:
        WireError: It is not.
    """
    if type(value) is not int or value < 1:
        raise WireError(f"{value!r} is no number of pixels")
    return value
