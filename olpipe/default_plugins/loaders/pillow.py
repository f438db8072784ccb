"""Reads the common formats with Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from olpipe.errors import ImageTooLarge, ImageUnreadable
from olpipe.hookspecs import hookimpl
from olpipe.image import DecodedImage
from olpipe.imaging.budget import decoding_budget
from olpipe.interfaces import ImageLoader

if TYPE_CHECKING:
    from PIL import Image

# Only formats that hold photos. Pillow opens others, too, but starts a program for some of them (EPS)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "QOI", "PCX")
SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM"),
    *(b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif"),
)
"""First bytes that tell the format, whatever the suffix says. TIFF's are left out: camera raw files begin like TIFF."""

WHOLE_BITS = (8, 10, 12, 14, 16)
"""How many bits the values of grey images may have. What is above is scaled to the largest value."""

BYTES_OF_FORMATS = {"WEBP": 17, "JPEG2000": 20, "AVIF": 10, "HEIF": 8}
BYTES_OF_OTHERS, BYTES_OF_TRANSPARENT = 7, 17
"""Bytes that each pixel takes while an image is decoded, measured on images of 48 megapixels."""

SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


class PillowLoader(ImageLoader):
    """JPEG, PNG, WebP, GIF, TIFF, AVIF, JPEG 2000, BMP and a few more."""

    name = "pillow"
    suffixes = (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi", ".pcx"),
    )

    def recognises(self, header: bytes, suffix: str) -> bool:
        """Look at the first bytes; where they do not tell the format, look at the suffix."""
        if header[4:8] == b"ftyp":
            return any(header[at : at + 4] in (b"avif", b"avis") for at in range(8, 64, 4))
        if header[:4] == b"RIFF":
            return header[8:12] == b"WEBP"
        return header.startswith(SIGNATURES) or suffix in self.suffixes

    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode the first frame."""
        from PIL import Image, UnidentifiedImageError

        Image.MAX_IMAGE_PIXELS = None  # `refuse_pixels` takes its place: it can differ from call to call
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise ImageUnreadable("the file does not hold an image") from error
        return decode_opened(image, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)


def decode_opened(image: Image.Image, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
    """Decode an image that Pillow has opened but not loaded.

    Raises:
        ImageTooLarge: Its header claims more than `refuse_pixels`.
    """
    import numpy as np

    # 1. Refuse what its header says is too large
    width, height = image.size
    if width * height > refuse_pixels:
        raise ImageTooLarge(
            f"the image has {width} x {height} pixels; at most {refuse_pixels / 1e6:.0f} megapixels are decoded"
        )
    # 2. Decode, and find out how far the image still has to be turned. TIFF images turn themselves when they are
    #    loaded, and the HEIF reader turns images when it opens them. Other images are asked only after they are loaded:
    #    to look for the orientation of a PNG, Pillow decodes it, and a damaged one would seem to be whole after that.
    file_format = image.format or "RAW"
    found = image.info.get("original_orientation") or (_orientation(image) if file_format == "TIFF" else 1)
    image.draft(None, _fitted(width, height, fit_pixels))  # lets JPEG decode at 1/2, 1/4 or 1/8 of the size
    with decoding_budget().hold(_bytes_needed(image, width * height)):
        image.load()
        left = _orientation(image)
        # 3. Eight bits, no transparency, the wanted size, sRGB, upright
        pixels = _fit(_flatten(_eight_bits(image)), fit_pixels)
        upright = _turn(_to_srgb(pixels, image.info.get("icc_profile")), left)
    if left in SWAPS_SIDES:
        width, height = height, width
    return DecodedImage(np.array(upright), width, height, left if found == 1 else found, file_format)


def _bytes_needed(image: Image.Image, pixels: int) -> int:
    """Return about how much memory it takes to decode an image that has so many pixels in the file."""
    if image.format == "JPEG" and not image.info.get("progressive"):
        pixels = image.width * image.height  # it is decoded row by row, and scaled down on the way
    each = BYTES_OF_FORMATS.get(image.format or "", BYTES_OF_OTHERS)
    return pixels * max(each, BYTES_OF_TRANSPARENT if image.has_transparency_data else 0)


def _orientation(image: Image.Image) -> int:
    from PIL import ExifTags

    try:
        value: Any = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - broken metadata raises anything, and says nothing about the pixels
        return 1
    return int(value) if value in range(1, 9) else 1


def _fitted(width: int, height: int, pixels: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(pixels / (width * height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greys of more than eight bits, and floats, to eight bits. Other images stay as they are.

    Scanners and cameras store 10, 12 or 14 bits in files that have room for 16, and few files say so. So the largest
    value tells how many bits there are.
    """
    import numpy as np
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)  # (H, W)
    if image.mode == "F":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    lowest, largest = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    white = largest - lowest
    if lowest == 0 and (image.mode != "F" or largest > 1):
        known = WHOLE_BITS[1:] if image.mode.startswith("I;16") else WHOLE_BITS  # eight bits would not be stored in 16
        white = next((2.0**bits - 1 for bits in known if largest < 2**bits), largest)
    elif lowest == 0:
        white = 1.0
    grey = np.empty(values.shape, np.uint8)
    for row, line in enumerate(values):  # line by line, as floats of a large scan would fill the memory
        grey[row] = np.rint((line.astype(np.float64) - lowest) * (255 / (white or 1.0)))
    return Image.fromarray(grey)


def _flatten(image: Image.Image) -> Image.Image:
    """Put a white background behind transparent parts."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode in ("P", "1", "PA", "HSV", "YCbCr", "LAB") else image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _fit(image: Image.Image, pixels: int) -> Image.Image:
    from PIL import Image

    size = _fitted(image.width, image.height, pixels)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert colours as the embedded profile says. Without a usable profile they are taken for sRGB."""
    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                image = converted or image
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile for other channels, or a damaged one: slightly wrong colours are better than no record
    return image.convert("RGB")


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


@hookimpl
def register_image_loaders() -> Iterable[ImageLoader]:
    """Return the loader."""
    return (PillowLoader(),)
