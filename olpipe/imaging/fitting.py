"""Give pixels the size and the range of values that a vision encoder takes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Resampling(Enum):
    """How the value of a new pixel is computed from the old ones around it. The names are those of Pillow."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


def resized(pixels: npt.NDArray[np.uint8], width: int, height: int, resampling: Resampling) -> npt.NDArray[np.uint8]:
    """Return an image, (height, width, 3) uint8, in another size. Pixels of this size are returned as they are.

    Where an image becomes smaller, every new pixel is a mean over all the old pixels that it covers.

    Args:
        pixels: The image, (H, W, 3).
        width: Pixels of the new image. The proportions may change.
        height: Pixels of the new image.
        resampling: How to compute new pixels.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling[resampling.name]))


def normalised(
    pixels: npt.NDArray[np.uint8],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    *,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Return red, green and blue one after the other, (3, H, W), as (value / 255 - mean) / std.

    Args:
        pixels: The image, (H, W, 3).
        mean: What to subtract from each colour, where white is 1.
        std: What to divide each colour by after that.
        out: Where to write the result, (3, H, W); None makes a new array.
    """
    import numpy as np

    # There are only 256 values of each colour, so each of them is computed once. "clip" changes nothing here. It only
    # saves a check of every index.
    tables = ((np.arange(256)[:, None] / 255 - mean) / std).astype(np.float32)  # (256, 3)
    planes = np.empty((3, *pixels.shape[:2]), np.float32) if out is None else out
    for colour, plane in enumerate(planes):
        np.take(tables[:, colour], pixels[..., colour], out=plane, mode="clip")
    return planes
