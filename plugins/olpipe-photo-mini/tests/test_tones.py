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


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (2, 2), (63, 65)])
def test_photos_of_any_size_have_tones(size):
    height, width = size
    photo = plain(60, 60, 60, height=height, width=width)
    photo[height // 2 :, width // 2 :] = 200
    assert named(photo) == [BLACK_AND_WHITE]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (70, 140, 40), (8, 9, 8)])
@pytest.mark.parametrize("size", [(1, 1), (90, 130)])
def test_a_frame_with_hardly_any_content_has_no_tone(colour, size):
    height, width = size
    noise = np.random.default_rng(1).integers(0, 4, (height, width, 3)).astype(np.uint8)
    assert named(np.minimum(plain(*colour, height=height, width=width), 250) + noise) == []


def test_a_dark_photo_with_a_few_lamps_is_night_and_a_portrait_before_black_is_not():
    street, portrait = plain(5, 5, 30), plain(5, 5, 30)
    street[40:50, 60:75] = (255, 230, 180)
    portrait[30:60, 50:80] = (200, 150, 120)
    assert named(street) == [NIGHT]
    assert named(portrait) == []


def test_scores_lie_between_nothing_and_certainty():
    for colour in ((5, 5, 5), (0, 255, 0), (250, 250, 250), (40, 90, 30)):
        photo = plain(*colour)
        photo[:20] = 60
        assert all(0 < label.score <= 1 for label in tones(photo))
