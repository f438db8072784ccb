"""Reads camera RAW with rawpy. If the extra `raw` is not installed, the error says how to install it.

A RAW file holds what the sensor saw, and nearly always a JPEG that the camera made of it. That preview is used where it
is large enough and shows the whole picture: it is what the photographer saw, and quick to decode. Otherwise LibRaw
develops the file at half its size.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from olpipe.default_plugins.loaders.pillow import SWAPS_SIDES, decode_opened
from olpipe.errors import ImageTooLarge, ImageUnreadable, ImageUnsupported
from olpipe.hookspecs import hookimpl
from olpipe.image import DecodedImage
from olpipe.imaging.budget import decoding_budget
from olpipe.imaging.decode import fit
from olpipe.interfaces import ImageLoader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ENOUGH_PIXELS = 500_000
"""A preview of so many pixels is used. A smaller one is used where developing would not give more."""

SIDES_DIFFER = 0.03
"""A preview whose proportions differ by more than this part shows another cut of the picture: boxes would be wrong."""

ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""The EXIF orientation for each of LibRaw's numbers for how a picture is turned."""

BYTES_OF_DEVELOPED = 8
"""Bytes that each pixel of the sensor takes while it is developed at half size."""


class RawLoader(ImageLoader):
    """CR2, CR3, NEF, ARW, DNG, RAF, RW2, ORF and what else cameras write that LibRaw reads."""

    name = "raw"
    suffixes = (
        *(
            ".3fr",
            ".arw",
            ".cr2",
            ".cr3",
            ".crw",
            ".dcr",
            ".dng",
            ".erf",
            ".fff",
            ".iiq",
            ".kdc",
            ".mef",
            ".mos",
            ".mrw",
        ),
        *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )

    def recognises(self, header: bytes, suffix: str) -> bool:
        """Look at the suffix: most of these files begin like TIFF."""
        return suffix in self.suffixes

    def check_installed(self) -> None:
        """Say how to install rawpy where it is missing."""
        _library()

    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode the embedded preview, or develop the picture."""
        rawpy = _library()
        try:
            with rawpy.imread(io.BytesIO(data)) as raw:
                width, height = raw.sizes.width, raw.sizes.height
                if width * height > refuse_pixels:
                    most = f"{refuse_pixels / 1e6:.0f} megapixels"
                    raise ImageTooLarge(f"the image has {width} x {height} pixels; at most {most} are decoded")
                orientation = ORIENTATIONS[raw.sizes.flip]
                if orientation in SWAPS_SIDES:
                    width, height = height, width
                pixels = _preview(raw, (width, height), orientation, fit_pixels)
                if pixels is None:
                    with decoding_budget().hold(width * height * BYTES_OF_DEVELOPED):
                        pixels = raw.postprocess(half_size=True, use_camera_wb=True)
        except rawpy.LibRawError as error:
            said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            hint = "if other programs show it, a newer `rawpy` may read it" if "nsupported" in said else None
            raise ImageUnreadable(f"LibRaw cannot read the file: {said}", hint=hint) from error
        return fit(DecodedImage(pixels, width, height, orientation, "RAW"), fit_pixels)


def _library() -> Any:
    """Return rawpy.

    Raises:
        ImageUnsupported: It is not installed.
    """
    try:
        import rawpy
    except ImportError as error:
        message, hint = "reading camera RAW needs the package `rawpy`", "run `pip install 'olpipe[raw]'`"
        raise ImageUnsupported(message, hint=hint) from error
    return rawpy


def _preview(raw: Any, size: tuple[int, int], orientation: int, fit_pixels: int) -> npt.NDArray[np.uint8] | None:
    """Return the embedded preview, upright, with about `fit_pixels` at most; None where it should not be used.

    Args:
        raw: The open file.
        size: Width and height of the upright picture.
        orientation: The EXIF orientation of the file.
        fit_pixels: How many pixels are wanted.
    """
    import rawpy
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        found = raw.extract_thumb()
        if found.format == rawpy.ThumbFormat.JPEG:
            image: Image.Image = Image.open(io.BytesIO(found.data), formats=("JPEG", "MPO"))
        elif found.format == rawpy.ThumbFormat.BITMAP:
            image = Image.fromarray(found.data)
        else:
            return None
        width, height = size
        if image.width * image.height < min(ENOUGH_PIXELS, width * height // 4):
            return None
        # Some cameras turn the preview and do not say so. LibRaw then gives it the orientation of the file
        was_turned = orientation in SWAPS_SIDES and width != height and (image.width > image.height) == (width > height)
        if was_turned:
            image.getexif()[ExifTags.Base.Orientation] = 1
        shown = decode_opened(image, refuse_pixels=width * height * 4, fit_pixels=fit_pixels)
    except (rawpy.LibRawError, UnidentifiedImageError, ImageTooLarge, ImageUnreadable, OSError, SyntaxError):
        return None  # there is none, or it is damaged
    pixels = shown.pixels if was_turned or shown.orientation != 1 else _upright(shown.pixels, orientation)
    proportions = pixels.shape[1] / pixels.shape[0] * height / width
    # Sides are rounded, so that those of a small preview may differ by a pixel
    allowed = SIDES_DIFFER + 1 / min(pixels.shape[:2])
    return pixels if abs(proportions - 1) <= allowed else None


def _upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Turn pixels, (H, W, 3), as an EXIF orientation says."""
    import numpy as np

    if orientation in SWAPS_SIDES:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@hookimpl
def register_image_loaders() -> Iterable[ImageLoader]:
    """Return the loader."""
    return (RawLoader(),)
