"""Turn a file's bytes into pixels with the first loader that recognises them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from olpipe.errors import ImageError, ImageTooLarge, ImageUnreadable, ImageUnsupported
from olpipe.image import DecodedImage
from olpipe.interfaces import ImageLoader

REFUSE_PIXELS = 200_000_000
"""More than any camera makes; a small file that claims more is a decompression bomb."""

FIT_PIXELS = 1024 * 1024
"""What is kept of a larger photo: enough for detectors, and about what vision encoders take."""

HEADER_BYTES = 64


def choose_loader(header: bytes, suffix: str, loaders: Iterable[ImageLoader]) -> ImageLoader:
    """Return the loader for a file, by its first 64 bytes and its suffix.

    Raises:
        ImageUnsupported: No loader reads it.
    """
    for loader in loaders:
        if loader.recognises(header[:HEADER_BYTES], suffix.lower()):
            return loader
    raise ImageUnsupported(f"no image loader reads such a file (`{suffix}`)")


def decode(
    data: bytes,
    suffix: str,
    loaders: Iterable[ImageLoader],
    *,
    refuse_pixels: int = REFUSE_PIXELS,
    fit_pixels: int = FIT_PIXELS,
) -> DecodedImage:
    """Decode a file's bytes to upright sRGB of about `fit_pixels` at most.

    Messages do not name the file: equal bytes under another name fail in the same words.

    Raises:
        ImageUnreadable: Damaged, truncated or empty.
        ImageTooLarge: More than `refuse_pixels`, or than memory holds.
        ImageUnsupported: No loader reads it, or its loader lacks a library.
    """
    loader = choose_loader(data, suffix, loaders)
    if not data:
        raise ImageUnreadable("the file is empty")
    try:
        return loader.decode(data, refuse_pixels=refuse_pixels, fit_pixels=fit_pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageTooLarge("decoding the image takes more memory than there is") from error
    except Exception as error:  # decoders meet hostile bytes, and each library fails in its own ways
        raise ImageUnreadable(f"the image is damaged: {first_line(error)}") from error


def load(path: Path, loaders: Iterable[ImageLoader]) -> DecodedImage:
    """Read and decode one file; messages name it.

    Raises:
        ImageError: As `decode`, or the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageUnreadable(f"`{path}` cannot be opened: {error.strerror or error}") from error
    try:
        return decode(data, os.path.splitext(path.name)[1], loaders)
    except ImageError as error:
        raise type(error)(f"`{path}`: {error.message}", hint=error.hint) from error


def first_line(error: BaseException) -> str:
    """Return an exception's text for one line of output, or its class where it has none."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
