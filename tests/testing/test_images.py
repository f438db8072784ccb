"""Generated photos look as they say."""

import io

import pytest
from PIL import Image, ImageOps

from olpipe.testing.images import corners, decoded, photo, quadrants


def test_quadrants_are_red_green_over_blue_white():
    assert corners(quadrants()) == "RGBW"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_once_their_orientation_is_applied(file_format, orientation):
    import numpy as np

    image = Image.open(io.BytesIO(photo(orientation=orientation, file_format=file_format)))
    assert image.format == file_format
    assert image.size == ((48, 32) if orientation < 5 else (32, 48))
    upright = ImageOps.exif_transpose(image).convert("RGB")
    assert upright.size == (48, 32)
    assert corners(np.asarray(upright)) == "RGBW"


def test_a_turned_photo_is_not_upright_before_that():
    import numpy as np

    assert corners(np.asarray(Image.open(io.BytesIO(photo(orientation=6))))) == "GWRB"


def test_a_decoded_photo_remembers_its_larger_original():
    image = decoded(4, 2, scale=10)
    assert (image.pixels.shape, image.width, image.height) == ((2, 4, 3), 40, 20)
