"""Complete a JPEG file whose last bytes are missing, and say how much of its picture is missing.

Downloads and cards often lose the end of a file. Viewers show such photos, because the picture is there but for its
last block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

MOST_MISSING = 0.02
"""How much of a picture may be missing, besides the block in which the file ends: a part of the last row of blocks."""

END = b"\xff\xd9"
_FILLING = b"\x00\xff"  # what programs fill a file with when they make room for it before they have its bytes
_START_OF_SCAN = 0xDA
_FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # baseline, extended, progressive; all of them Huffman coded
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers that no length follows
_BLOCK = 8  # the sides of a block, in pixels
_COEFFICIENTS = 64
_MIDDLE = (126, 129)  # the grey that stands where nothing was decoded, and what rounding makes of it


class Completed(NamedTuple):
    """A JPEG file that has an end again.

    Attributes:
        data: The file.
        measured: Whether a missing part of the picture is flat grey. Otherwise only the finest shades of a progressive
            picture may be missing.
        rows: How many pixel rows of the full size are decoded at once.
    """

    data: bytes
    measured: bool
    rows: int


def completed(data: bytes) -> Completed | None:
    """Give a file that was cut off an end; None where the file has one, or where too much is missing for sure."""
    kept = data.rstrip(_FILLING)
    if data.endswith(END) or kept.endswith(END):
        return None
    try:
        return _completed(kept)
    except (IndexError, KeyError, ValueError):
        return None  # its segments are damaged


def _completed(data: bytes) -> Completed | None:
    rows, progressive, sampled = 0, None, b""
    left: dict[int, list[int]] = {}  # by component: how many low bits of each coefficient no scan has brought yet
    scan = b""
    for marker, at, segment in _segments(data):
        if segment is None:
            data = data[:at]  # the next scan, or its tables, had just begun
        elif marker in _FRAMES:
            # precision, height, width, number of components; then of each: its id, its sampling, its table
            progressive, sampled = _FRAMES[marker], segment[6 : 6 + 3 * segment[5]]
            rows = _BLOCK * max(sampling & 15 for sampling in sampled[1::3])
            left = {component: [16] * _COEFFICIENTS for component in sampled[0::3]}
        elif marker == _START_OF_SCAN:
            scan = segment
            first, last, bits = scan[-3:]
            for component in scan[1 : 1 + 2 * scan[0] : 2]:
                left[component][first : last + 1] = [bits & 15] * (min(last, _COEFFICIENTS - 1) + 1 - first)
    if progressive is None or not scan:
        return None
    if not progressive:
        return Completed(data + END, True, rows) if scan[0] == len(left) else None
    # The file ends in a scan of finest shades, and at most such are missing in it and in those that would follow
    first, _, bits = scan[-3:]
    whole = first > 0 and bits >> 4 == 1 and all(low[0] == 0 and max(low[1:]) <= 1 for low in left.values())
    return Completed(data + END, False, rows) if whole else None


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield the markers of a file, where each begins, and what follows it: None where the file ends before that does.

    The coded picture itself is passed by.
    """
    at = 2
    while at < len(data):
        at = data.find(b"\xff", at)
        if at < 0:
            return
        if at + 1 >= len(data) or data[at + 1] in (0x00, 0xFF):  # a part of the coded picture, or filling
            at += 1 if at + 1 < len(data) and data[at + 1] == 0xFF else 2
            continue
        marker = data[at + 1]
        at += 2
        if marker == END[1]:
            return
        if marker not in _ALONE:
            length = int.from_bytes(data[at : at + 2], "big")
            whole = at + max(length, 2) <= len(data)
            yield marker, at - 2, data[at + 2 : at + length] if whole else None
            at += max(length, 2)


def missing(image: Image.Image, rows: int) -> float:
    """Return how much of a completed picture is missing, from 0 to 1.

    The decoder leaves flat grey where nothing was decoded: from some block in a row of blocks to the end.

    Args:
        image: The picture as it was decoded, without changes.
        rows: How many rows of its pixels are decoded at once.
    """
    import numpy as np

    grey = np.asarray(image).reshape(image.height, image.width, -1)  # (H, W, C)
    lowest, largest = _MIDDLE
    pixels = 0
    for bottom in range(image.height - 1 - (image.height - 1) % rows, -1, -rows):
        band = grey[bottom : bottom + rows]
        # A column of this row of blocks is missing where its lower half is grey. Colours of the row above it reach into
        # its first pixels
        below = band[len(band) // 2 :]
        flat = np.all((below >= lowest) & (below <= largest), axis=(0, 2))  # (W,)
        columns = _trailing(flat)
        pixels += columns * len(band)
        if columns < image.width:
            break
    return pixels / (image.width * image.height)


def _trailing(flags: npt.NDArray[np.bool_]) -> int:
    """Return how many of the last values are true, without a gap."""
    return len(flags) if flags.all() else int(flags[::-1].argmin())
