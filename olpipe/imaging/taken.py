"""When a photo was taken, as its camera wrote it into the file."""

from __future__ import annotations

import io
import re
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_HEADERS = (b"Exif\0\0II*\0", b"Exif\0\0MM\0*")
_EXIF, _ORIGINAL, _DIGITISED, _CHANGED = 0x8769, 0x9003, 0x9004, 0x0132
_DAY = re.compile(r"(\d{4})[:.-](\d{2})[:.-](\d{2})(?!\d)")


def day_taken(data: bytes) -> date | None:
    """Return the day on which a photo was taken; None where the file does not tell.

    The file says the day of the camera's own clock.

    Args:
        data: The file.

    Source: Exif 2.32, 4.6.5 and 4.6.8 (DateTimeOriginal, DateTimeDigitized, DateTime).
    """
    try:
        return next((day for day in map(_day, _written(data)) if day is not None), None)
    except Exception:  # noqa: BLE001 - Pillow raises many kinds of errors for damaged files, which decoding reports
        return None


def _written(data: bytes) -> list[object]:
    """Return the texts that may say when: of the shutter, of the scanner, and of the last change."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:  # HEIC, for example: what cameras write stands in it behind the same header
        return _texts(_found_in(data))
    with image:
        return _texts(image.getexif())


def _texts(exif: Image.Exif) -> list[object]:
    inner = exif.get_ifd(_EXIF)
    return [inner.get(_ORIGINAL), inner.get(_DIGITISED), exif.get(_CHANGED)]


def _found_in(data: bytes) -> Image.Exif:
    from PIL import Image

    exif = Image.Exif()
    place = max(data.find(header) for header in _HEADERS)
    if place >= 0:
        exif.load(data[place:])
    return exif


def _day(value: object) -> date | None:
    found = _DAY.match(value) if isinstance(value, str) else None
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:  # 0000:00:00 stands for an unknown day
        return None
