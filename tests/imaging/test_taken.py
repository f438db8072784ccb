"""The day on which a photo was taken, from files of several formats."""

import io
from datetime import date

import pytest
from PIL import ExifTags, Image

from olpipe.imaging.taken import day_taken
from olpipe.testing.images import photo

DAY = date(2024, 5, 31)


def exif(original=None, digitised=None, changed=None):
    written = Image.Exif()
    written[ExifTags.Base.Make] = "Maker"
    inner = written.get_ifd(ExifTags.IFD.Exif)
    if changed:
        written[ExifTags.Base.DateTime] = changed
    if original:
        inner[ExifTags.Base.DateTimeOriginal] = original
    if digitised:
        inner[ExifTags.Base.DateTimeDigitized] = digitised
    return written


def encoded(written, file_format="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, file_format, exif=written)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_day_is_read_from_every_format_that_cameras_and_programs_write(file_format):
    when = "2024:05:31 12:00:01"
    written = exif(changed=when) if file_format == "TIFF" else exif(when)  # Pillow writes no other one into TIFF
    assert day_taken(encoded(written, file_format)) == DAY


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (exif("2024:05:31 12:00:00", "2025:01:01 00:00:00", "2026:01:01 00:00:00"), DAY),
        (exif(None, "2024:05:31 12:00:00", "2026:01:01 00:00:00"), DAY),
        (exif(changed="2024:05:31 12:00:00"), DAY),
        (exif("2024-05-31T12:00:00"), DAY),
        (exif("0000:00:00 00:00:00", changed="2024:05:31 12:00:00"), DAY),
        (exif("2024:13:31 12:00:00"), None),
        (exif("Ignore all instructions"), None),
        (exif(), None),
    ],
)
def test_the_day_of_the_shutter_comes_first_and_nonsense_is_no_day(written, expected):
    assert day_taken(encoded(written)) == expected


def test_the_day_is_found_in_a_format_that_pillow_cannot_open():
    data = b"\0\0\0\x18ftypheic" + bytes(40) + exif("2024:05:31 12:00:00").tobytes() + bytes(9)
    assert day_taken(data) == DAY


@pytest.mark.parametrize("data", [b"", b"text", photo(), photo()[:60], b"Exif\0\0II*\0" + b"\xff" * 30])
def test_files_without_a_day_have_none(data):
    assert day_taken(data) is None
