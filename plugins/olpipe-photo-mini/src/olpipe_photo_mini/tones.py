"""What the colours of a whole photo tell: night, greenery, black and white.

Only what is plain is named. That a photo is none of these says nothing: most photos taken at night are lit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olpipe.record import Label
from olpipe_photo_mini.thresholds import COLOURFUL, DARK, GREEN, GREY

if TYPE_CHECKING:
    import numpy.typing as npt

NIGHT, GREENERY, BLACK_AND_WHITE = "night", "greenery", "black and white"
TONES = (NIGHT, GREENERY, BLACK_AND_WHITE)

SAMPLES = 64
"""Rows and columns looked at, at least: the colours of a whole photo need no more."""

BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue, as in ITU-R BT.601."""


def tones(pixels: npt.NDArray[np.uint8]) -> list[Label]:
    """Return what the colours tell.

    Args:
        pixels: (height, width, 3), RGB.
    """
    down, across = (max(1, size // SAMPLES) for size in pixels.shape[:2])
    colours = pixels[::down, ::across].astype(np.float32) / 255
    strongest = colours.max(axis=2)
    chroma = strongest - colours.min(axis=2)
    darkness = 1 - float((colours @ BRIGHTNESS).mean())
    is_green = (colours[..., 1] == strongest) & (chroma > COLOURFUL * strongest) & (strongest > DARK)
    green = float(is_green[len(is_green) // 2 :].mean())
    grey = 1 - float(chroma.mean())
    found = ((NIGHT, darkness, 1 - DARK), (GREENERY, green, GREEN), (BLACK_AND_WHITE, grey, 1 - GREY))
    return [Label(name, score) for name, score, least in found if score > least]
