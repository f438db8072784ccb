"""What the colours of a whole photo say: night, greenery, black and white.

Only clear cases are named. A photo without a name may be one of these all the same: many photos of the night are lit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olpipe.record import Label
from olpipe_photo_mini.thresholds import COLOURFUL, DARK, FLAT, GREEN, GREY, LAMPS, LIT

if TYPE_CHECKING:
    import numpy.typing as npt

NIGHT, GREENERY, BLACK_AND_WHITE = "night", "greenery", "black and white"
TONES = (NIGHT, GREENERY, BLACK_AND_WHITE)

SAMPLES = 64
"""At least this many rows and columns are looked at. More are not needed for the colours of a whole photo."""

BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
"""(3,), how much red, green and blue count for the brightness, as in ITU-R BT.601."""


def tones(pixels: npt.NDArray[np.uint8]) -> list[Label]:
    """Return the tones that the colours show clearly; none where the photo shows hardly anything.

    Args:
        pixels: (H, W, 3), RGB.
    """
    # 1. Look at some rows and columns; for each pixel, note the strongest colour and how far it is from grey
    down, across = (max(1, size // SAMPLES) for size in pixels.shape[:2])
    colours = pixels[::down, ::across].astype(np.float32) / 255  # (h, w, 3) in 0..1
    strongest = colours.max(axis=2)  # (h, w)
    chroma = strongest - colours.min(axis=2)  # (h, w)
    brightness = colours @ BRIGHTNESS  # (h, w)
    if brightness.std() < FLAT:
        return []
    # 2. Give each tone a score, and keep those that are clear
    darkness = 1 - float(brightness.mean()) if (brightness > LIT).mean() <= LAMPS else 0.0
    is_green = (colours[..., 1] == strongest) & (chroma > COLOURFUL * strongest) & (strongest > DARK)
    green = float(is_green[len(is_green) // 2 :].mean())
    grey = 1 - float(chroma.mean())
    found = ((NIGHT, darkness, 1 - DARK), (GREENERY, green, GREEN), (BLACK_AND_WHITE, grey, 1 - GREY))
    return [Label(name, score) for name, score, least in found if score > least]
