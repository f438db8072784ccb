"""Scale pixels to the size that a network takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GREY = 114
"""Red, green and blue of the border."""


def letterbox(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """Return (side, side, 3) float32: the picture (H, W, 3) in its own proportions, centred on grey."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.full((side, side, 3), GREY, dtype=np.float32)
    top, left = (side - h) // 2, (side - w) // 2
    canvas[top : top + h, left : left + w] = _resize(pixels, w, h)
    return canvas


def square(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """Return (side, side, 3) float32: the whole picture (H, W, 3), stretched to a square."""
    return _resize(pixels, side, side)


def _resize(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.float32]:
    from PIL import Image

    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)
