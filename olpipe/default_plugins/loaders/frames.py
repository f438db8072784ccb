"""Count the frames of animations, the pages of scans, and the pictures of files that hold several."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

TOLD_WHEN_OPENED = ("WEBP", "PNG", "AVIF", "HEIF")
"""Formats whose files say at their beginning how many frames they hold."""

COUNTED = ("GIF", "TIFF")
"""Formats whose frames have to be counted. A second look at the file counts them, without decoding one.

MPO is not among them: phones write a JPEG that way to keep a second picture behind it, such as the depth.
"""

MOST_FRAMES = 100_000

_SUBFILE_TYPE = 0x00FE
_NO_PAGE = 0b101  # a smaller copy of another page, or its mask


def frame_count(image: Image.Image, data: bytes) -> int:
    """Return how many frames, pages or pictures a file holds; 1 where that is not known.

    Args:
        image: The file as Pillow has opened it.
        data: The file.
    """
    if image.format in TOLD_WHEN_OPENED:
        return max(1, int(getattr(image, "n_frames", 1)))
    if image.format not in COUNTED:
        return 1
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=(image.format,)) as again:
            return _pages(again) if image.format == "TIFF" else max(1, int(getattr(again, "n_frames", 1)))
    except Exception:  # noqa: BLE001 - what is damaged behind the first frame raises anything, and that frame is there
        return 1


def _pages(image: Image.Image) -> int:
    """Return how many pages a TIFF file has. Smaller copies of pages, as scanners add them, do not count."""
    pages = 0
    try:
        for number in range(MOST_FRAMES):
            image.seek(number)
            pages += not int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & _NO_PAGE  # type: ignore[attr-defined]
    except EOFError:
        pass  # the end
    return max(1, pages)
