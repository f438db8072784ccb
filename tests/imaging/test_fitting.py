"""Pixels get the size and the values that a vision encoder takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from olpipe.imaging.fitting import Resampling, normalised, resized
from olpipe.testing.vision.photos import smooth_photo

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)


@pytest.mark.parametrize("resampling", list(Resampling))
def test_an_image_is_resized_as_pillow_does_it(resampling):
    photo = smooth_photo(60, 40)
    expected = np.asarray(Image.fromarray(photo).resize((33, 71), Image.Resampling[resampling.name]))
    np.testing.assert_array_equal(resized(photo, 33, 71, resampling), expected)


def test_the_three_ways_of_resampling_differ():
    photo = smooth_photo(60, 40)
    small = [resized(photo, 20, 30, resampling) for resampling in Resampling]
    assert len({pixels.tobytes() for pixels in small}) == len(Resampling)


def test_an_image_of_the_right_size_is_not_touched():
    photo = smooth_photo(60, 40)
    assert resized(photo, 60, 40, Resampling.LANCZOS) is photo


@given(width=st.integers(1, 50), height=st.integers(1, 50), resampling=st.sampled_from(Resampling))
def test_the_new_size_is_the_one_asked_for(width, height, resampling):
    pixels = resized(smooth_photo(7, 300), width, height, resampling)
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8


def test_every_colour_is_normalised_with_its_own_numbers():
    photo = smooth_photo(16, 9)
    values = normalised(photo, MEAN, STD)
    assert (values.shape, values.dtype) == ((3, 9, 16), np.float32)
    for colour in range(3):
        expected = (photo[:, :, colour].astype(np.float64) / 255 - MEAN[colour]) / STD[colour]
        np.testing.assert_allclose(values[colour], expected, rtol=0, atol=1e-6)


def test_a_part_of_an_image_is_normalised_like_the_whole():
    photo = smooth_photo(16, 9)
    np.testing.assert_array_equal(normalised(photo[2:7, 3:12], MEAN, STD), normalised(photo, MEAN, STD)[:, 2:7, 3:12])


def test_normalised_values_are_written_where_the_caller_wants_them():
    photo = smooth_photo(16, 9)
    room = np.zeros((2, 3, 9, 16), np.float32)
    assert normalised(photo, MEAN, STD, out=room[1]) is not None
    np.testing.assert_array_equal(room[1], normalised(photo, MEAN, STD))
    assert not room[0].any()
