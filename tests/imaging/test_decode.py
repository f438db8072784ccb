"""Who decodes a file, and images brought to a number of pixels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import ImageTooLarge, ImageUnreadable, ImageUnsupported, PluginError
from olpipe.image import DecodedImage
from olpipe.imaging.decode import choose_loader, decode, fit
from olpipe.interfaces import ImageLoader
from olpipe.testing.images import corners, photo, quadrants

ONE = DecodedImage(np.zeros((1, 1, 3), np.uint8), 1, 1)


class Loader(ImageLoader):
    """Recognises what it is told to, and decodes everything to one pixel."""

    def __init__(self, name, recognised, error=None):
        self.name = name
        self.recognised = recognised
        self.error = error
        self.asked = []

    def recognises(self, header, suffix):
        self.asked.append((header, suffix))
        if isinstance(self.recognised, Exception):
            raise self.recognised
        return self.recognised

    def decode(self, data, *, refuse_pixels, fit_pixels):
        if self.error is not None:
            raise self.error
        return ONE


def test_the_first_loader_that_recognises_a_file_gets_it():
    loaders = [Loader("no", False), Loader("yes", True), Loader("late", True)]
    assert choose_loader(b"x" * 100, ".JPG", loaders) is loaders[1]
    assert loaders[0].asked == [(b"x" * 64, ".jpg")]
    assert loaders[2].asked == []


def test_a_file_that_no_loader_recognises_is_unsupported():
    with pytest.raises(ImageUnsupported, match=r"no image loader reads such a file \(`\.cr2`\)"):
        choose_loader(b"", ".cr2", [Loader("no", False)])


def test_a_loader_that_fails_at_the_question_is_told_with_its_name():
    with pytest.raises(PluginError) as caught:
        decode(b"x", ".jpg", [Loader("bad", ValueError("no luck\nat all")), Loader("yes", True)])
    assert caught.value.message == "the image loader `bad` failed: ValueError: no luck"


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (ImageUnreadable("it is torn"), ImageUnreadable, "it is torn"),
        (ValueError("bad marker\nat 5"), ImageUnreadable, "the image is damaged: bad marker"),
        (KeyError(), ImageUnreadable, "the image is damaged: KeyError"),
        (MemoryError(), ImageTooLarge, "decoding the image takes more memory than there is"),
    ],
)
def test_whatever_a_decoder_raises_is_an_image_error(error, expected, message):
    with pytest.raises(expected) as caught:
        decode(b"x", ".jpg", [Loader("yes", True, error)])
    assert caught.value.message == message


def image(width, height, scale=1):
    return DecodedImage(quadrants(width, height), width * scale, height * scale)


def test_a_fitted_image_shows_the_same_and_keeps_the_size_of_its_original():
    large = image(600, 400, scale=3)
    small = fit(large, 2400)
    assert small.pixels.shape == (40, 60, 3)
    assert (small.width, small.height) == (1800, 1200)
    assert corners(small.pixels) == corners(large.pixels)
    assert fit(large, 240_000) is large
    assert fit(large, 10**9) is large


@given(st.integers(1, 300), st.integers(1, 300), st.integers(400, 20_000))
def test_an_image_is_fitted_once_however_often_it_is_asked_for(width, height, pixels):
    fitted = fit(DecodedImage(np.zeros((height, width, 3), np.uint8), width, height), pixels)
    found_height, found_width = fitted.pixels.shape[:2]
    assert found_width <= width and found_height <= height
    assert found_width * found_height <= pixels + (found_width + found_height) / 2 + 1  # sides are rounded
    if (found_width, found_height) != (width, height):
        wanted = math.sqrt(pixels / (width * height))
        assert abs(found_width - max(1, width * wanted)) <= 0.5
        assert abs(found_height - max(1, height * wanted)) <= 0.5
    assert fit(fitted, pixels) is fitted


@pytest.mark.parametrize(("width", "height"), [(7286, 1546), (1533, 1234), (1101, 1100)])
def test_what_a_loader_has_fitted_is_not_scaled_again(width, height):
    data = photo(width, height, file_format="PNG")
    decoded = PillowLoader().decode(data, refuse_pixels=10**9, fit_pixels=1_000_000)
    assert fit(decoded, 1_000_000) is decoded
