"""Reads HEIC and HEIF with pillow-heif. If the extra `heif` is not installed, the error says how to install it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from olpipe.default_plugins.loaders.pillow import decode_opened
from olpipe.errors import ImageUnreadable, ImageUnsupported
from olpipe.hookspecs import hookimpl
from olpipe.image import DecodedImage
from olpipe.interfaces import ImageLoader

BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"heif")


class HeifLoader(ImageLoader):
    """HEIC and HEIF, as phones write them."""

    name = "heif"
    suffixes = (".heic", ".heif", ".heics", ".heifs", ".hif")

    def recognises(self, header: bytes, suffix: str) -> bool:
        """Look at the brand in the file's first box, or else at the suffix."""
        return (header[4:8] == b"ftyp" and header[8:12] in BRANDS) or suffix in self.suffixes

    def check_installed(self) -> None:
        """Say how to install pillow-heif where it is missing."""
        _library()

    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode the primary image."""
        pillow_heif = _library()
        try:
            image = pillow_heif.HeifImageFile(io.BytesIO(data))
        except SyntaxError as error:  # this is what format classes of Pillow raise for a file of another format
            raise ImageUnreadable(f"the file does not hold a HEIF image: {error}") from error
        return decode_opened(image, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)


def _library() -> Any:
    """Return pillow-heif.

    Raises:
        ImageUnsupported: It is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        message, hint = "reading HEIC needs the package `pillow-heif`", "run `pip install 'olpipe[heif]'`"
        raise ImageUnsupported(message, hint=hint) from error
    return pillow_heif


@hookimpl
def register_image_loaders() -> Iterable[ImageLoader]:
    """Return the loader."""
    return (HeifLoader(),)
