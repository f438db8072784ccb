"""Reads the common formats with Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from olpipe.default_plugins.loaders import cut_jpeg, deep_colours
from olpipe.default_plugins.loaders.frames import frame_count
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
BYTES_OF_DEEP = 20
"""Bytes that each pixel of 16-bit colours may take: the image is decoded twice where it uses few of its bits."""

GROUNDS = ("white", "grey")
"""What is put behind transparent parts, and what is put behind those of drawings that white would hide."""
OPAQUE, NEARLY_WHITE = 32, 235
HIDDEN = 0.99
"""White hides a drawing if at least this share of its opaque pixels is nearly white."""

MOST_FRAMES = 1000
"""At most so many frames are looked at for one that is not black."""

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
NEARLY_BLACK = 16

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
        return decode_opened(image, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels, data=data)


def decode_opened(image: Image.Image, *, refuse_pixels: int, fit_pixels: int, data: bytes = b"") -> DecodedImage:
    """Decode an image that Pillow has opened but not loaded.

    Args:
        image: The image.
        refuse_pixels: An image with more pixels is refused.
        fit_pixels: The result has at most about so many pixels.
        data: The file that the image was opened from. Without it, the image is taken as it is loaded.

    Raises:
        ImageUnreadable: It ends early, and a visible part of the picture is missing.
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
    frames = frame_count(image, data)
    found = image.info.get("original_orientation") or (_orientation(image) if file_format == "TIFF" else 1)
    draft = _fitted(width, height, fit_pixels)
    image.draft(None, draft)  # lets JPEG decode at 1/2, 1/4 or 1/8 of the size
    with decoding_budget().hold(_bytes_needed(image, width * height)):
        image = _loaded(image, data, draft)
        left, profile = _orientation(image), image.info.get("icc_profile")
        # 3. Eight bits, no transparency, the wanted size, sRGB, upright
        pixels = _fit(_telling_frame(image, refuse_pixels // (width * height)), fit_pixels)
        upright = _turn(_to_srgb(pixels, profile), left)
    if left in SWAPS_SIDES:
        width, height = height, width
    orientation = left if found == 1 else found
    return DecodedImage(np.array(upright), width, height, orientation, file_format, frames=frames)


def _loaded(image: Image.Image, data: bytes, draft: tuple[int, int]) -> Image.Image:
    """Load an image with all the bits that it uses. A JPEG that lacks its last bytes is completed."""
    stored = deep_colours.stored_as(image)
    try:
        image.load()
    except OSError as error:
        whole = cut_jpeg.completed(data) if image.format in ("JPEG", "MPO") else None
        if whole is None:
            raise
        return _completed(whole, draft, error)
    return deep_colours.with_all_bits(image, stored, data, FORMATS) if data else image


def _completed(whole: cut_jpeg.Completed, draft: tuple[int, int], error: OSError) -> Image.Image:
    """Load a JPEG that was given an end."""
    from PIL import Image

    image = Image.open(io.BytesIO(whole.data), formats=("JPEG",))
    full_height = image.height
    image.draft(None, draft)
    image.load()
    rows = max(1, whole.rows * image.height // full_height)
    if whole.measured and cut_jpeg.missing(image, rows) > cut_jpeg.MOST_MISSING:
        raise ImageUnreadable("the file ends early, and a part of the picture is missing") from error
    return image


def _bytes_needed(image: Image.Image, pixels: int) -> int:
    """Return about how much memory it takes to decode an image that has so many pixels in the file."""
    if image.format == "JPEG" and not image.info.get("progressive"):
        pixels = image.width * image.height  # it is decoded row by row, and scaled down on the way
    each = BYTES_OF_FORMATS.get(image.format or "", BYTES_OF_OTHERS)
    if deep_colours.is_deep(deep_colours.stored_as(image)):
        each = BYTES_OF_DEEP
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


def _telling_frame(image: Image.Image, most: int) -> Image.Image:
    """Return the first frame in eight bits and without transparency, or a later one where the first shows nothing.

    Args:
        image: The image.
        most: How many frames may be looked at.
    """
    first = _flatten(_eight_bits(image))
    if image.format not in ANIMATED or not getattr(image, "is_animated", False) or not _is_black(first):
        return first
    first = first.copy()  # it may be the image itself, which changes with its frame
    try:
        for number in range(1, min(most, MOST_FRAMES)):  # there is an error behind the last frame
            image.seek(number)
            image.load()
            frame = _flatten(image)
            if any(largest - lowest > NEARLY_BLACK for lowest, largest in _ranges(frame)):
                return frame
    except (OSError, EOFError, SyntaxError, ValueError):
        pass  # a later frame is damaged; the first one is what there is
    return first


def _is_black(image: Image.Image) -> bool:
    return all(largest <= NEARLY_BLACK for _, largest in _ranges(image))


def _ranges(image: Image.Image) -> list[tuple[float, float]]:
    """Return the lowest and the largest value of each channel."""
    return [image.getchannel(channel).getextrema() for channel in image.getbands()]  # type: ignore[misc]


def _flatten(image: Image.Image) -> Image.Image:
    """Put a background behind transparent parts. It is white, unless white would hide what is opaque."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode in ("P", "1", "PA", "HSV", "YCbCr", "LAB") else image
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, GROUNDS[_is_hidden_by_white(image)])
    return Image.alpha_composite(ground, image).convert("RGB")


def _is_hidden_by_white(image: Image.Image) -> bool:
    """Say whether nearly all that is opaque is nearly white, and something is transparent."""
    from PIL import ImageChops

    red, green, blue, opacity = image.split()
    mask = opacity.point([0] * OPAQUE + [255] * (256 - OPAQUE))
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    counts = darkest.histogram(mask)
    shown = sum(counts)
    return 0 < shown < image.width * image.height and sum(counts[NEARLY_WHITE:]) >= HIDDEN * shown


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
