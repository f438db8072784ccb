"""Turn a file's bytes into pixels with the first loader that recognises them."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from olpipe.errors import ImageError, ImageTooLarge, ImageUnreadable, ImageUnsupported, PluginError, first_line
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.interfaces import ImageLoader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

REFUSE_PIXELS = 200_000_000
"""More pixels than any camera makes. A small file that claims to have more is made to fill the memory."""

HEADER_BYTES = 64


def choose_loader(header: bytes, suffix: str, loaders: Iterable[ImageLoader]) -> ImageLoader:
    """Return the loader for a file, by its first 64 bytes and its suffix.

    Raises:
        ImageUnsupported: No loader reads it.
        PluginError: A loader's own code failed.
    """
    for loader in loaders:
        try:
            recognised = loader.recognises(header[:HEADER_BYTES], suffix.lower())
        except Exception as error:
            message = f"the image loader `{loader.name}` failed: {type(error).__name__}: {first_line(error)}"
            raise PluginError(message, hint="run again with OLPIPE_DEBUG=1 to see where") from error
        if recognised:
            return loader
    what = f"such a file (`{suffix}`)" if suffix else f"what begins with the bytes `{header[:8].hex(' ')}`"
    raise ImageUnsupported(f"no image loader reads {what}")


def check_installed(suffix: str, loaders: Iterable[ImageLoader]) -> bool:
    """Return whether a loader reads files with this suffix.

    Raises:
        ImageUnsupported: One does, and it lacks a library.
    """
    for loader in loaders:
        if suffix.lower() in loader.suffixes:
            loader.check_installed()
            return True
    return False


def decode(
    data: bytes,
    suffix: str,
    loaders: Iterable[ImageLoader],
    *,
    refuse_pixels: int = REFUSE_PIXELS,
    sizes: Collection[int] = (USUAL_PIXELS,),
) -> DecodedImage:
    """Decode a file's bytes to upright sRGB.

    Errors do not name the file, so that equal bytes under another name give the same error.

    Args:
        data: The file's bytes.
        suffix: The end of the file's name: `.jpg`.
        loaders: Those that may recognise it.
        refuse_pixels: An image with more pixels is refused.
        sizes: Numbers of pixels that somebody can use. The image is decoded to at most about each of them, so that
            what one sees does not depend on what others can use: `fit` finds the right one.

    Raises:
        ImageUnreadable: The file is damaged, cut short or empty.
        ImageTooLarge: The image has more than `refuse_pixels`, or does not fit into memory.
        ImageUnsupported: No loader reads the file, or its loader lacks a library.
    """
    loader = choose_loader(data, suffix, loaders)
    if not data:
        raise ImageUnreadable("the file is empty")
    try:
        image, *smaller = _decoded(data, loader, refuse_pixels, sorted(set(sizes), reverse=True))
        return replace(image, smaller=tuple(one.pixels for one in smaller))
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageTooLarge("decoding the image takes more memory than there is") from error
    except Exception as error:  # damaged or hostile bytes make each library fail in its own way
        raise ImageUnreadable(f"the image is damaged: {first_line(error)}") from error


def _decoded(data: bytes, loader: ImageLoader, refuse_pixels: int, sizes: list[int]) -> Iterator[DecodedImage]:
    """Yield the image in each size, the largest first, as far as they differ."""
    image = None
    for size in sizes:
        if image is None or not _fits(image.pixels, size):
            image = loader.decode(data, refuse_pixels=refuse_pixels, fit_pixels=size)
            yield image


def load(
    path: Path,
    loaders: Iterable[ImageLoader],
    *,
    refuse_pixels: int = REFUSE_PIXELS,
    sizes: Collection[int] = (USUAL_PIXELS,),
) -> DecodedImage:
    """Read and decode one file, as `decode` does. Errors name the file.

    Raises:
        ImageError: As `decode`, or the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageUnreadable(f"`{path}` cannot be opened: {error.strerror or error}") from error
    try:
        return decode(data, os.path.splitext(path.name)[1], loaders, refuse_pixels=refuse_pixels, sizes=sizes)
    except ImageError as error:
        raise type(error)(f"`{path}`: {error.message}", hint=error.hint) from error


def fit(image: DecodedImage, pixels: int) -> DecodedImage:
    """Return an image in a size that has no more than about this many pixels.

    That is the image itself or, where the file was decoded to several sizes, the largest that fits. Where none fits,
    the smallest is scaled down.
    """
    for shown in (image.pixels, *image.smaller):
        if _fits(shown, pixels):
            return image if shown is image.pixels else replace(image, pixels=shown, smaller=())
    import numpy as np
    from PIL import Image

    height, width = shown.shape[:2]
    scale = math.sqrt(pixels / (width * height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(shown).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return replace(image, pixels=np.asarray(resized), smaller=())


def _fits(shown: npt.NDArray[np.uint8], pixels: int) -> bool:
    """Say whether an image has at most about this many pixels. Sides are rounded, so it may have a few more."""
    height, width = shown.shape[:2]
    return bool(width * height <= pixels + (width + height) / 2 + 1)
