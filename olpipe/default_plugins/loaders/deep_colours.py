"""Read colours of 16 bits whose values use fewer bits.

Pillow keeps the upper eight bits of such colours. Scanners and cameras store 10, 12 or 14 bits in the lower part of 16,
and their pictures would come out nearly black. So the lower eight bits are read, too, where all upper ones are low.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from olpipe.errors import ImageUnsupported

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

BITS = (10, 12, 14, 16)
"""How many bits the values may have."""

_LOW = 1 << (14 - 8)  # values of at most 14 bits have upper bytes below this
_BAND_ROWS = 256  # as many rows are scaled at a time, so that large scans do not fill the memory
_LOWER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
"""The byte order in which Pillow takes the lower byte for the upper one. `N` is the order of this machine."""


def stored_as(image: Image.Image) -> str:
    """Return how the pixels of an image are stored, in Pillow's words: `RGB;16B`. The image is not loaded yet."""
    for tile in getattr(image, "tile", ()):
        return _mode_of(tile.args)
    return ""


def is_deep(stored: str) -> bool:
    """Say whether Pillow keeps only the upper half of the bits of pixels that are stored so."""
    return ";16" in stored and not stored.startswith(("I", "CMYK"))


def with_all_bits(image: Image.Image, stored: str, data: bytes, formats: Sequence[str]) -> Image.Image:
    """Return an image scaled to eight bits by the bits that its values use. Where they use all, it stays as it is.

    Args:
        image: The image as Pillow loaded it, with the upper eight bits of each value.
        stored: What `stored_as` said of it.
        data: The file.
        formats: The formats that the file may have.

    Raises:
        ImageUnsupported: Its values use fewer bits, and Pillow does not show the lower ones.
    """
    import numpy as np
    from PIL import Image

    colours = range(len(image.getbands()) - ("A" in image.getbands()))
    if not is_deep(stored) or _largest(image, colours) >= _LOW:
        return image
    if stored.startswith("RGBa"):
        raise ImageUnsupported(
            "the image has 16 bits a channel and uses only the lower ones", hint="save it with 8 bits a channel"
        )
    lower = _lower_bytes(stored, data, formats)
    # 1. Colours share the number of bits. Transparency has its own
    largest = np.max([band.max(axis=(0, 1)) for band in _bands(image, lower)], axis=0)  # (C,)
    white = np.array([_white(int(value)) for value in largest])
    white[: len(colours)] = white[: len(colours)].max()
    # 2. The scaled image
    pixels = np.concatenate([np.rint(band * (255 / white)).astype(np.uint8) for band in _bands(image, lower)])
    scaled = Image.fromarray(pixels)
    scaled.info, scaled.format = image.info, image.format
    return scaled


def _lower_bytes(stored: str, data: bytes, formats: Sequence[str]) -> Image.Image:
    """Return the image with the lower eight bits of each value in place of the upper ones."""
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=tuple(formats))
    if stored == "LA;16B":
        # Four bytes a pixel, as RGBA has: the upper and the lower byte of the grey, then those of the transparency
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image.load()
        grey, transparency = image.getchannel("G"), image.getchannel("A")
        return Image.merge("RGBA", (grey, grey, grey, transparency))
    image.tile = [tile._replace(args=_of_lower_byte(tile.args)) for tile in image.tile]
    image.load()
    return image


def _of_lower_byte(arguments: Any) -> Any:
    mode = _mode_of(arguments)
    channels, _, order = mode.partition(";")
    other = f"{channels};{_LOWER_BYTE[order]}"
    return other if isinstance(arguments, str) else (other, *arguments[1:])


def _mode_of(arguments: Any) -> str:
    """Return the raw mode among what Pillow tells its decoder: it is alone, or the first of several."""
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) else ""


def _largest(image: Image.Image, channels: Sequence[int]) -> int:
    return max(image.getchannel(channel).getextrema()[1] for channel in channels)  # type: ignore[return-value]


def _bands(upper: Image.Image, lower: Image.Image) -> Iterator[npt.NDArray[np.uint16]]:
    """Yield the values of an image of 16 bits, (some rows, W, C), from the top to the bottom."""
    import numpy as np

    for top in range(0, upper.height, _BAND_ROWS):
        box = (0, top, upper.width, min(top + _BAND_ROWS, upper.height))
        high, low = (np.asarray(half.crop(box)).astype(np.uint16) for half in (upper, lower))
        yield high * np.uint16(256) + low


def _white(largest: int) -> float:
    """Return the value of white, by the largest value that there is."""
    return next(2.0**bits - 1 for bits in BITS if largest < 2**bits)
