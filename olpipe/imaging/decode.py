"""Turn a file's bytes into pixels with the first loader that recognises them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from olpipe.errors import ImageError, ImageTooLarge, ImageUnreadable, ImageUnsupported, PluginError, first_line
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.interfaces import ImageLoader

REFUSE_PIXELS = 200_000_000
"""More than any camera makes; a small file that claims more is a decompression bomb."""

HEADER_BYTES = 64


def choose_loader(header: bytes, suffix: str, loaders: Iterable[ImageLoader]) -> ImageLoader:
    """Return the loader for a file, by its first 64 bytes and its suffix.

    Raises:
        ImageUnsupported: No loader reads it.
        PluginError: A loader failed at the question.
    """
    for loader in loaders:
        try:
            recognised = loader.recognises(header[:HEADER_BYTES], suffix.lower())
        except Exception as error:
            message = f"the image loader `{loader.name}` failed: {type(error).__name__}: {first_line(error)}"
            raise PluginError(message, hint="run again with OLPIPE_DEBUG=1 to see where") from error
        if recognised:
            return loader
    raise ImageUnsupported(f"no image loader reads such a file (`{suffix}`)")


def decode(
    data: bytes,
    suffix: str,
    loaders: Iterable[ImageLoader],
    *,
    refuse_pixels: int = REFUSE_PIXELS,
    fit_pixels: int = USUAL_PIXELS,
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


def load(path: Path, loaders: Iterable[ImageLoader], *, fit_pixels: int = USUAL_PIXELS) -> DecodedImage:
    """Read and decode one file to about `fit_pixels` at most; messages name it.

    Raises:
        ImageError: As `decode`, or the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageUnreadable(f"`{path}` cannot be opened: {error.strerror or error}") from error
    try:
        return decode(data, os.path.splitext(path.name)[1], loaders, fit_pixels=fit_pixels)
    except ImageError as error:
        raise type(error)(f"`{path}`: {error.message}", hint=error.hint) from error


def fit(image: DecodedImage, pixels: int) -> DecodedImage:
    """Return an image scaled down to about so many pixels, or the image itself where it has no more."""
    height, width = image.pixels.shape[:2]
    if width * height <= pixels + (width + height) / 2 + 1:  # sides are rounded, so a fitted image may have a few more
        return image
    import numpy as np
    from PIL import Image

    scale = math.sqrt(pixels / (width * height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image.pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return replace(image, pixels=np.asarray(resized))
