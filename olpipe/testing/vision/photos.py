"""Generated pictures that are as smooth as photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.testing.vision.weights import random_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SIDE = 8
"""How many colours a picture has in each direction."""


def smooth_photo(width: int, height: int, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a picture, (height, width, 3), of random colours that run into each other."""
    import numpy as np
    from PIL import Image

    colours = random_bytes(seed, "photo", _SIDE * _SIDE * 3).reshape(_SIDE, _SIDE, 3)
    return np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC))
