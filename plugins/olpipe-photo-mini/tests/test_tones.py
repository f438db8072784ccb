"""What the colours of a whole photo tell."""

from pathlib import Path

import numpy as np
import pytest
from olpipe_photo_mini.tones import BLACK_AND_WHITE, GREENERY, NIGHT, tones

from olpipe.default_plugins.loaders.pillow import PillowLoader

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"


def named(pixels):
    return [label.name for label in tones(pixels)]


def plain(*colour, height=90, width=130):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("galaxies.jpg", [NIGHT]),
        ("photographer.jpg", [BLACK_AND_WHITE]),
        ("cat.jpg", []),
        ("coffee.jpg", []),
        ("astronaut.jpg", []),
    ],
)
def test_photos_have_the_tones_that_people_see(file, expected):
    photo = PillowLoader().decode((PHOTOS / file).read_bytes(), refuse_pixels=10**7, fit_pixels=10**6)
    assert named(photo.pixels) == expected


def test_greenery_is_what_is_green_below():
    lawn = np.concatenate([plain(120, 160, 240), plain(70, 140, 40)])
    assert named(lawn) == [GREENERY]
    assert named(lawn[::-1]) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2), (63, 65)])
def test_photos_of_any_size_have_tones(size):
    height, width = size
    assert named(plain(128, 128, 128, height=height, width=width)) == [BLACK_AND_WHITE]


def test_scores_lie_between_nothing_and_certainty():
    for colour in ((0, 0, 0), (0, 255, 0), (255, 255, 255), (40, 90, 30)):
        assert all(0 < label.score <= 1 for label in tones(plain(*colour)))
