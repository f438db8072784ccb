"""Camera RAW: the embedded preview, upright and in the size of the RAW picture, or else what LibRaw develops."""

import sys

import numpy as np
import pytest
from PIL import Image

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.default_plugins.loaders.raw import RawLoader
from olpipe.errors import ImageUnreadable, ImageUnsupported
from olpipe.imaging.decode import check_installed, decode
from olpipe.testing.contracts import ImageLoaderContract
from olpipe.testing.images import corners, quadrants
from tests.default_plugins.dng import dng, jpeg

LOADERS = (PillowLoader(), RawLoader())
GREY = np.full((160, 240, 3), 128, np.uint8)

pytest.importorskip("rawpy", reason="rawpy is not installed")


def stored(width, height, orientation):
    """Return the picture with red, green, blue and white corners, turned so that the orientation makes it upright."""
    back = {6: 8, 8: 6}.get(orientation, orientation)
    turns = Image.Transpose
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(back)
    image = Image.fromarray(quadrants(width, height))
    return np.asarray(image if turn is None else image.transpose(turns(turn)))


class TestRawLoader(ImageLoaderContract):
    file_format, suffix = "RAW", ".dng"

    @pytest.fixture
    def loader(self):
        return RawLoader()

    def photo(self, *, orientation=1):
        pixels = stored(48, 32, orientation)
        return dng(pixels, orientation=orientation, preview=pixels)

    def test_it_recognises_nothing_else(self, loader):
        for header, suffix in ((b"a text".ljust(64), ".txt"), (b"", ""), (b"II*\x00", ".tif")):
            assert loader.recognises(header, suffix) is False
        assert loader.recognises(b"II*\x00raw", ".cr2") is True

    def test_damaged_files_are_unreadable(self, loader):
        data = dng(quadrants(96, 64))  # without a preview, which would be whole where the rest is not
        cut = [data[: len(data) * eighths // 8] for eighths in (4, 5, 6, 7)]
        for one in (b"", data[:20], *cut, data[:20] + bytes(len(data) - 20)):
            with pytest.raises(ImageUnreadable):
                decode(one, self.suffix, [loader])


def test_the_preview_is_shown_and_the_size_is_that_of_the_raw_picture():
    image = decode(dng(np.zeros((320, 480, 3), np.uint8), preview=quadrants(240, 160)), ".DNG", LOADERS)
    assert (image.width, image.height, image.orientation, image.format) == (480, 320, 1, "RAW")
    assert (image.pixels.shape, corners(image.pixels)) == ((160, 240, 3), "RGBW")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_developed_is_upright(orientation):
    image = decode(dng(stored(480, 320, orientation), orientation=orientation), ".dng", LOADERS)
    assert (image.width, image.height, image.orientation) == (480, 320, orientation)
    assert (image.pixels.shape, corners(image.pixels)) == ((160, 240, 3), "RGBW")


def test_a_preview_that_says_its_orientation_itself_is_turned_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    preview = jpeg(stored(240, 160, 6), exif=exif)
    image = decode(dng(np.zeros((480, 320, 3), np.uint8), orientation=6, preview=preview), ".dng", LOADERS)
    assert (image.width, image.height, corners(image.pixels)) == (480, 320, "RGBW")


def test_a_preview_that_was_turned_before_it_was_embedded_is_not_turned_again():
    file = dng(np.zeros((480, 320, 3), np.uint8), orientation=6, preview=quadrants(240, 160))
    image = decode(file, ".dng", LOADERS)
    assert (image.width, image.height, corners(image.pixels)) == (480, 320, "RGBW")


@pytest.mark.parametrize(
    "preview",
    [GREY[:40, :60], GREY[:120], b"\xff\xd8\xff no JPEG", jpeg(quadrants(240, 160))[:1500]],
    ids=["tiny", "another cut of the picture", "damaged", "cut off"],
)
def test_a_preview_that_is_of_no_use_is_passed_by_and_the_picture_developed(preview):
    image = decode(dng(quadrants(480, 320), preview=preview), ".dng", LOADERS)
    assert (image.pixels.shape, corners(image.pixels)) == ((160, 240, 3), "RGBW")


def test_a_file_that_libraw_does_not_know_says_what_may_help():
    with pytest.raises(ImageUnreadable, match="LibRaw cannot read the file: Unsupported file format") as error:
        decode(b"Dear diary, today I learnt to call files what they are. " * 100, ".nef", LOADERS)
    assert "newer `rawpy`" in error.value.hint


def test_without_the_extra_the_error_names_it_before_the_file_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)  # makes the import fail as on a machine without it
    for ask in (lambda: check_installed(".CR3", LOADERS), lambda: decode(dng(GREY), ".dng", LOADERS)):
        with pytest.raises(ImageUnsupported, match="reading camera RAW needs the package `rawpy`") as error:
            ask()
        assert error.value.hint == "run `pip install 'olpipe[raw]'`"
    assert check_installed(".jpg", LOADERS) is True
    assert check_installed(".svg", LOADERS) is False
