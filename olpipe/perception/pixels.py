"""Bring pixels to the size that a network takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def square(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """Return (side, side, 3) float32, the whole picture squeezed in, smoothed where it shrinks."""
    from PIL import Image

    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)
