"""A good image loader, and loaders with one fault each."""

import io
import time
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from mutants.breaking import Mutants
from PIL import Image, ImageFile, ImageOps

from olpipe.errors import ImageTooLarge
from olpipe.image import DecodedImage
from olpipe.interfaces import ImageLoader
from olpipe.testing.contracts import ImageLoaderContract

CONTRACT = ImageLoaderContract
MANY = 10**9


class Jpeg(ImageLoader):
    """Reads JPEG."""

    name, suffixes = "jpeg", (".jpg", ".jpeg")

    def recognises(self, header, suffix):
        return header.startswith(b"\xff\xd8\xff")

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        if image.width * image.height > refuse_pixels:
            raise ImageTooLarge("it has too many pixels")
        orientation = image.getexif().get(0x0112, 1)
        upright = ImageOps.exif_transpose(image)
        width, height = upright.size
        scale = min(1.0, sqrt(fit_pixels / (width * height)))
        small = upright.resize((round(width * scale), round(height * scale)))
        return DecodedImage(np.array(small.convert("RGB")), width, height, orientation, "JPEG")


PLUGINS = Mutants(Jpeg)


@PLUGINS.broken("test_it_has_a_name_and_suffixes")
class WritesSuffixesLarge(Jpeg):
    """No file of its kind is found."""

    suffixes = ("JPG", "jpg")


@PLUGINS.broken("test_it_recognises_its_own")
class WantsTheWholeFile(Jpeg):
    """It looks for the end of the file in its first bytes."""

    def recognises(self, header, suffix):
        return header.startswith(b"\xff\xd8\xff") and header.endswith(b"\xff\xd9")


@PLUGINS.broken("test_it_recognises_nothing_else")
class TakesEverything(Jpeg):
    """No other loader is asked."""

    def recognises(self, header, suffix):
        return True


@PLUGINS.broken("test_it_recognises_nothing_else")
class ReadsPastTheEnd(Jpeg):
    """A file of one byte breaks it."""

    def recognises(self, header, suffix):
        return header[0] == 0xFF and header[1] == 0xD8


@PLUGINS.broken("test_it_turns_photos_upright")
class LeavesOrientation(Jpeg):
    """Photos lie on their side."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = Image.open(io.BytesIO(data))
        return DecodedImage(np.array(image), *image.size, image.getexif().get(0x0112, 1), "JPEG")


@PLUGINS.broken("test_it_turns_photos_upright")
class ForgetsMirrors(Jpeg):
    """Photos are turned, but those that were mirrored stay so."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        mirrored = image.orientation in (2, 4, 5, 7)
        return replace(image, pixels=image.pixels[:, ::-1] if mirrored else image.pixels)


@PLUGINS.broken("test_it_turns_photos_upright")
class ForgetsTheOrientation(Jpeg):
    """Records say that no photo was turned."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        return replace(super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels), orientation=1)


@PLUGINS.broken("test_its_pixels_are_rgb")
class ReturnsBgr(Jpeg):
    """Blue comes first, as OpenCV has it."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        return replace(image, pixels=image.pixels[:, :, ::-1])


@PLUGINS.broken("test_its_pixels_are_rgb")
class ReturnsFloats(Jpeg):
    """Pixels are fractions of one."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        return replace(image, pixels=image.pixels / 255)


@PLUGINS.broken("test_its_pixels_are_rgb")
class KeepsAlpha(Jpeg):
    """Pixels have a fourth value."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        return replace(image, pixels=np.pad(image.pixels, ((0, 0), (0, 0), (0, 1)), constant_values=255))


@PLUGINS.broken("test_it_says_what_format_it_was")
class ForgetsTheFormat(Jpeg):
    """Every photo is `RAW`."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        return replace(super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels), format="RAW")


@PLUGINS.broken("test_it_scales_large_photos_down_and_remembers_their_size")
class IgnoresTheFit(Jpeg):
    """Photos stay as large as they are."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        return super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=MANY)


@PLUGINS.broken("test_it_scales_large_photos_down_and_remembers_their_size")
class ForgetsTheSize(Jpeg):
    """Boxes are in pixels of what was scaled down."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        return replace(image, width=image.pixels.shape[1], height=image.pixels.shape[0])


@PLUGINS.broken("test_it_scales_large_photos_down_and_remembers_their_size")
class CropsToFit(Jpeg):
    """It cuts off what does not fit."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=MANY)
        return replace(image, pixels=image.pixels[:16, :24] if fit_pixels < 1000 else image.pixels)


@PLUGINS.broken("test_it_turns_what_it_scales_down")
class RemembersTheStoredSize(Jpeg):
    """The size is that of the photo as it lay in the file."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        swapped = image.orientation > 4 and fit_pixels < MANY
        return replace(image, width=image.height, height=image.width) if swapped else image


@PLUGINS.broken("test_it_never_scales_up")
class ScalesUp(Jpeg):
    """Every photo gets as many pixels as there may be."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        image = super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        return replace(image, pixels=image.pixels.repeat(2, axis=0).repeat(2, axis=1))


@PLUGINS.broken("test_it_refuses_too_many_pixels")
class RefusesNothing(Jpeg):
    """A small file can take all memory."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        return super().decode(data, refuse_pixels=MANY, fit_pixels=fit_pixels)


@PLUGINS.broken("test_it_refuses_too_many_pixels")
class RefusesTheLimit(Jpeg):
    """The limit itself is refused."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        return super().decode(data, refuse_pixels=refuse_pixels - 1, fit_pixels=fit_pixels)


@PLUGINS.broken("test_it_refuses_too_many_pixels")
class RefusesWhatStaysLarge(Jpeg):
    """It counts the pixels after scaling down, when all of them have been decoded."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        limit = refuse_pixels if fit_pixels >= 1000 else MANY
        return super().decode(data, refuse_pixels=limit, fit_pixels=fit_pixels)


@PLUGINS.broken("test_damaged_files_are_unreadable")
class ReturnsHalfAPhoto(Jpeg):
    """What is missing of a file is grey."""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return super().decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


@PLUGINS.broken("test_several_threads_may_call_it_at_once")
class KeepsThePhoto(Jpeg):
    """It has room for one photo, and other threads put theirs there."""

    def __init__(self):
        self.last = b""

    def decode(self, data, *, refuse_pixels, fit_pixels):
        self.last = data
        time.sleep(0.002)  # others come in
        return super().decode(self.last, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)


class TestLoader(ImageLoaderContract):
    file_format, suffix = "JPEG", ".jpg"

    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def loader(self, plugin):
        return plugin.make()
