"""Files with several frames, pages or pictures: the first is used, and the record says how many there are."""

import io

import pytest
from PIL import Image

from olpipe.default_plugins.loaders.heif import HeifLoader
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.imaging.decode import decode
from olpipe.record import ImageInfo

LOADERS = (PillowLoader(), HeifLoader())
COLOURS = ("red", "green", "blue")


def saved(file_format, colours=COLOURS, **options):
    first, *others = [Image.new("RGB", (48, 32), colour) for colour in colours]
    file = io.BytesIO()
    several = {"save_all": True, "append_images": others} if others else {}
    first.save(file, file_format, **several, **options)
    return file.getvalue()


def suffix(file_format):
    """Return the suffix of TIFF, which is told by that; the others are told by their first bytes."""
    return ".tif" if file_format == "TIFF" else ""


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_animation_or_a_scan_gives_its_first_frame_and_their_number(file_format):
    image = decode(saved(file_format), suffix(file_format), LOADERS)
    red, green, blue = image.pixels[16, 24].tolist()
    assert (red > 200, green < 50, blue < 50) == (True, True, True)
    assert (image.frames, image.format) == (3, file_format)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "JPEG", "BMP"])
def test_one_frame_is_no_animation(file_format):
    assert decode(saved(file_format, ("red",)), suffix(file_format), LOADERS).frames == 1


def test_a_second_picture_behind_a_jpeg_is_no_frame():
    image = decode(saved("MPO"), ".jpg", LOADERS)
    assert (image.frames, image.format) == (1, "MPO")


def test_a_heic_file_with_several_pictures_says_so():
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    file = heif.from_pillow(Image.new("RGB", (48, 32), "red"))
    file.add_from_pillow(Image.new("RGB", (48, 32), "blue"))
    buffer = io.BytesIO()
    file.save(buffer, quality=90)
    image = decode(buffer.getvalue(), ".heic", LOADERS)
    assert (image.frames, image.format) == (2, "HEIF")


def test_smaller_copies_in_a_tiff_file_are_no_pages():
    data = saved("TIFF", tiffinfo={0x00FE: 0})
    # Of the second page, which holds 48 x 32 x 3 bytes, the directory says that it is a smaller copy
    entry = b"\xfe\x00\x04\x00\x01\x00\x00\x00"
    at = data.index(entry, data.index(entry) + 1) + len(entry)
    assert decode(data, ".tif", LOADERS).frames == 3
    assert decode(data[:at] + b"\x01" + data[at + 1 :], ".tif", LOADERS).frames == 2


@pytest.mark.parametrize("file_format", ["GIF", "TIFF"])
def test_damage_behind_the_first_frame_does_not_lose_it(file_format):
    data = saved(file_format, tuple(COLOURS * 5))
    image = decode(data[: len(data) * 2 // 3], suffix(file_format), LOADERS)
    assert (image.width, image.height) == (48, 32)
    assert image.frames >= 1


def test_a_record_tells_of_frames_only_where_there_are_several():
    assert "frames" not in ImageInfo(4, 3, 1, "GIF").to_json()
    assert ImageInfo(4, 3, 1, "GIF", 12).to_json()["frames"] == 12
