"""Tiny generated photos. Most have four corners in four colours."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from olpipe.image import DecodedImage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
GREY = (128, 128, 128)


def quadrants(width: int = 48, height: int = 32) -> npt.NDArray[np.uint8]:
    """Return a picture that looks different in every orientation: red and green above blue and white."""
    import numpy as np

    pixels = np.empty((height, width, 3), np.uint8)
    top, left = slice(None, height // 2), slice(None, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    pixels[top, left], pixels[top, right], pixels[bottom, left], pixels[bottom, right] = RED, GREEN, BLUE, WHITE
    return pixels


def corners(pixels: npt.NDArray[np.uint8]) -> str:
    """Return the colours of the four quadrants, row by row. For an upright `quadrants` this is `RGBW`."""
    import numpy as np

    height, width, _ = pixels.shape
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    named = {"R": RED, "G": GREEN, "B": BLUE, "W": WHITE}
    distances = [{name: np.abs(pixels[place].astype(int) - named[name]).sum() for name in named} for place in places]
    return "".join(min(distance, key=lambda name: distance[name]) for distance in distances)


def photo(
    width: int = 48,
    height: int = 32,
    *,
    orientation: int = 1,
    file_format: str = "JPEG",
    quality: int = 95,
    mark: str = "",
) -> bytes:
    """Return a file that shows `quadrants(width, height)` once its EXIF orientation is applied.

    Args:
        width: Width of the upright picture.
        height: Height of the upright picture.
        orientation: EXIF orientation, 1 to 8. The pixels are stored turned the other way.
        file_format: The format's name in Pillow: `JPEG`, `PNG`, `WEBP`, …
        quality: Quality for lossy formats.
        mark: Photos with different marks have different pixels, in the lower right corner.
    """
    from PIL import ExifTags, Image

    turn = Image.Transpose
    # Turns upright pixels into those that a camera in that position stores (Exif 2.32, 4.6.4 A, Orientation)
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    image = Image.fromarray(quadrants(width, height))
    if mark:
        speckles = hashlib.shake_256(mark.encode()).digest(64)
        image.paste(Image.frombytes("L", (8, 8), speckles), (width - 8, height - 8))
    if orientation in stored:
        image = image.transpose(stored[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    image.save(buffer, file_format, exif=exif, quality=quality)
    return buffer.getvalue()


def decoded(width: int = 48, height: int = 32, *, scale: int = 1) -> DecodedImage:
    """Return `quadrants` as a decoded picture whose original was `scale` times larger."""
    return DecodedImage(quadrants(width, height), width * scale, height * scale, 1, "JPEG")


def plain(width: int = 48, height: int = 32, *, colour: tuple[int, int, int] = GREY) -> DecodedImage:
    """Return a decoded picture of one colour."""
    import numpy as np

    return DecodedImage(np.full((height, width, 3), colour, np.uint8), width, height, 1, "JPEG")
