"""The perceiver `colours`."""

import numpy as np
import pytest

from olpipe.image import DecodedImage
from olpipe.testing.contracts import PerceiverContract
from olpipe.testing.images import decoded


class TestColours(PerceiverContract):
    seen = ("red", "blue", "white", "green")

    @pytest.fixture
    def perceiver(self):
        from olpipe_template.colours import Colours

        return Colours()

    @pytest.fixture
    def photo(self):
        return decoded()  # four coloured squares


def seen(*bands: tuple[int, int, int], size: int = 100) -> dict[str, float]:
    """Return what the perceiver sees in equally wide bands of colour."""
    from olpipe_template.colours import Colours

    pixels = np.repeat(np.array([bands], np.uint8), size, axis=0).repeat(size, axis=1)
    image = DecodedImage(pixels, pixels.shape[1], pixels.shape[0])
    return {label.name: label.score for label in Colours().perceive(image).tags}


@pytest.mark.parametrize(
    ("colour", "names"),
    [
        ((0, 0, 0), {"black", "dark"}),
        ((255, 255, 255), {"white", "bright"}),
        ((200, 40, 20), {"red"}),
        ((20, 60, 180), {"blue", "dark"}),
        ((250, 230, 40), {"yellow", "bright"}),
        ((130, 130, 120), {"grey"}),
    ],
)
def test_a_photo_of_one_colour_is_named_after_it(colour, names):
    found = seen(colour)
    assert set(found) == names
    assert max(found.values()) <= 1.0


def test_each_colour_has_its_share():
    red, blue = (220, 30, 30), (40, 90, 200)
    assert seen(red, blue, blue, blue) == pytest.approx({"blue": 0.75, "red": 0.25}, abs=0.02)


def test_a_colour_that_fills_little_is_left_out():
    red, blue = (220, 30, 30), (40, 90, 200)
    assert set(seen(red, *[blue] * 9)) == {"blue"}


def test_large_photos_are_sampled():
    assert seen((220, 30, 30), size=3000) == {"red": 1.0}
