"""Show images to llama.cpp's projector."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

from olpipe.errors import GenerationError
from olpipe.families.rendering import ImageSpan
from olpipe.image import DecodedImage
from olpipe_llamacpp.library import MediaText
from olpipe_llamacpp.weights import Weights


class View:
    """What a projector makes of one image: tokens of text and of the image, in order.

    Attributes:
        chunks: llama.cpp's list of them.
        tokens: How many there are.
        positions: How many positions they take. It is less where rows and columns are counted.
    """

    def __init__(self, weights: Weights, image: DecodedImage) -> None:
        """Fit an image and cut it into tokens. The vision encoder is run later.

        Raises:
            GenerationError: llama.cpp does not take the image.
        """
        call = weights.library.call
        pixels = np.ascontiguousarray(image.pixels)
        height, width, _ = pixels.shape
        marker: bytes = call.mtmd_default_marker()
        text = MediaText(marker, len(marker), add_special=False, parse_special=True)
        self.chunks: Any = call.mtmd_input_chunks_init()
        weakref.finalize(self, call.mtmd_input_chunks_free, self.chunks)
        bitmap = call.mtmd_bitmap_init(width, height, pixels.ctypes.data)
        try:
            bitmaps = (ctypes.c_void_p * 1)(bitmap)
            failed = call.mtmd_tokenize(weights.projector, self.chunks, ctypes.byref(text), bitmaps, 1)
        finally:
            call.mtmd_bitmap_free(bitmap)
        if failed:
            raise GenerationError(f"llama.cpp does not take an image of {width} x {height} pixels")
        self.tokens: int = call.mtmd_helper_get_n_tokens(self.chunks)
        self.positions: int = call.mtmd_helper_get_n_pos(self.chunks)


def show(weights: Weights, image: DecodedImage, *, placeholder: int) -> ImageSpan:
    """Return the tokens that stand for an image.

    Args:
        weights: The model.
        image: The image.
        placeholder: The token that is written down at its places. No forward reads it.
    """
    view = View(weights, image)
    return ImageSpan((placeholder,) * view.tokens, 0, view.tokens, image.digest(), view=view)
