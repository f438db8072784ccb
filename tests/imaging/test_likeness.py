"""Sketches of photos: alike for nearly equal pictures, and for no others."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from olpipe.image import DecodedImage
from olpipe.imaging.likeness import Sketch, distances, picture_digest, sketch


def scene(seed, colours=(0, 1, 2)):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)[..., list(colours)]
    return Image.fromarray(pixels).resize((480, 360), Image.Resampling.BICUBIC)


def decoded(image, **changes):
    pixels = np.asarray(image)
    return DecodedImage(pixels, **{"width": image.width, "height": image.height, **changes})


def sketched(image):
    found = sketch(decoded(image))
    assert found is not None
    return found


def apart(one, other):
    return int(distances(np.array([one.hash], np.uint64), other.hash)[0])


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(0, 2**64 - 1))
def test_distances_count_the_bits_that_differ(hashes, one):
    expected = [(other ^ one).bit_count() for other in hashes]
    assert distances(np.array(hashes, np.uint64), one).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_or_brighter_picture_is_alike(seed):
    image = scene(seed)
    for other in (image.resize((240, 180)), ImageEnhance.Brightness(image).enhance(0.95)):
        assert apart(sketched(image), sketched(other)) <= 4
        assert sketched(image).is_like(sketched(other))


def test_other_pictures_are_far_apart():
    sketches = [sketched(scene(seed)) for seed in range(40)]
    assert min(apart(*random.Random(turn).sample(sketches, 2)) for turn in range(300)) > 16


def test_the_same_shapes_in_other_colours_are_not_alike():
    image = Image.merge("RGB", [scene(3).convert("L")] * 3)
    red, blue = (Image.blend(image, Image.new("RGB", image.size, colour), 0.4) for colour in ("red", "blue"))
    assert apart(sketched(red), sketched(blue)) <= 4
    assert not sketched(red).is_like(sketched(blue))


def test_a_picture_in_other_proportions_is_not_alike():
    image = scene(3)
    assert not sketched(image).is_like(sketched(image.resize((480, 480))))


def test_a_flat_picture_has_no_sketch():
    assert sketch(decoded(Image.new("RGB", (480, 360), "white"))) is None


def test_a_sketch_is_read_as_it_was_written():
    found = sketched(scene(1))
    assert Sketch.from_bytes(found.to_bytes()) == found


def test_a_digest_depends_on_all_that_is_seen_and_told():
    image = scene(1)
    small = np.asarray(image.resize((48, 36)))
    digests = [
        picture_digest(decoded(image)),
        picture_digest(decoded(image, orientation=3)),
        picture_digest(decoded(image, width=960, height=720)),
        picture_digest(decoded(image, smaller=(small,))),
        picture_digest(decoded(image), "taken in May"),
        picture_digest(decoded(ImageEnhance.Brightness(image).enhance(0.99))),
    ]
    assert len(set(digests)) == len(digests)
    assert picture_digest(decoded(image, format="PNG")) == digests[0]
