"""Say which pictures are the same, and which are nearly the same."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from olpipe.image import DecodedImage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SKETCH_PIXELS = 256 * 256
"""A photo is decoded to about so many pixels for its sketch. Pillow decodes a large JPEG to an eighth for this."""

COLUMNS, ROWS = 9, 8
GRID = 4
"""Colours are compared in so many columns and rows."""

MOST_OTHER_COLOUR = 12
"""How much a mean colour may differ, in steps of Cb and Cr. The same photo in other quality stays below 7."""

MOST_OTHER_SHAPE = 0.02
"""How much the proportions may differ, as a part of them."""

LEAST_STEP, LEAST_STEPS = 3, 16
"""A photo is compared if at least so many of its 64 differences have so many of 256 levels. Others are too flat."""

_PACKED = struct.Struct(f"<QII{2 * GRID * GRID}s")


def picture_digest(image: DecodedImage, told: str = "") -> bytes:
    """Return a digest of all that is seen of a photo, and of what is told of it.

    It is made of every pixel in every size, the size of the original and its orientation. So two photos with the same
    digest are the same for whoever looks at them, whatever has decoded them and whatever sizes were asked for. Another
    version of a decoder may give another digest. Then the photos count as different, which costs work and harms nobody.

    Args:
        image: The photo, decoded to the sizes in which it is looked at.
        told: What the prompt tells of the photo besides.
    """
    import numpy as np

    hashed = hashlib.sha256(repr((image.width, image.height, image.orientation, told)).encode())
    for pixels in (image.pixels, *image.smaller):
        hashed.update(repr(pixels.shape).encode())
        hashed.update(np.ascontiguousarray(pixels).reshape(-1).data)
    return hashed.digest()


@dataclass(frozen=True, slots=True)
class Sketch:
    """What remains of a photo when it becomes very small. Photos that look alike have sketches that do.

    Attributes:
        hash: 64 bits. Each says whether one of 9 x 8 grey pixels is darker than its neighbour on the right.
        width: Width of the upright original in pixels.
        height: Height of the upright original in pixels.
        colours: The mean Cb and Cr of 4 x 4 parts, row by row, 32 bytes.
    """

    hash: int
    width: int
    height: int
    colours: bytes

    def to_bytes(self) -> bytes:
        """Return the sketch in 48 bytes."""
        return _PACKED.pack(self.hash, self.width, self.height, self.colours)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Read what `to_bytes` wrote."""
        return cls(*_PACKED.unpack(data))

    def is_like(self, other: Sketch) -> bool:
        """Say whether two photos have about the same proportions and colours. Their hashes are not compared here.

        A hash sees no colours: the same shirt in red and in blue has the same one.
        """
        one, two = self.width * other.height, other.width * self.height
        if abs(one - two) > MOST_OTHER_SHAPE * max(one, two):
            return False
        pairs = zip(self.colours, other.colours, strict=True)
        return all(abs(mine - theirs) <= MOST_OTHER_COLOUR for mine, theirs in pairs)


def sketch(image: DecodedImage) -> Sketch | None:
    """Return the sketch of a photo; None where it is so flat that its sketch would tell nothing.

    Source: the difference hash of Neal Krawetz, "Kind of Like That", 2013.
    """
    import numpy as np
    from PIL import Image

    shown = Image.fromarray((image.pixels, *image.smaller)[-1])
    grey = np.asarray(shown.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX), np.int16)  # (8, 9)
    steps = grey[:, 1:] - grey[:, :-1]  # (8, 8)
    if np.count_nonzero(np.abs(steps) >= LEAST_STEP) < LEAST_STEPS:
        return None
    bits = int.from_bytes(np.packbits(steps.ravel() > 0).tobytes(), "big")
    small = np.asarray(shown.resize((GRID, GRID), Image.Resampling.BOX).convert("YCbCr"))  # (4, 4, 3)
    return Sketch(bits, image.width, image.height, small[..., 1:].tobytes())


def distances(hashes: npt.NDArray[np.uint64], one: int) -> npt.NDArray[np.uint8]:
    """Return in how many bits each of some hashes differs from one.

    Args:
        hashes: Hashes, (N,).
        one: A hash.
    """
    import numpy as np

    different = hashes ^ np.uint64(one)
    if hasattr(np, "bitwise_count"):  # numpy 2
        counts: npt.NDArray[np.uint8] = np.bitwise_count(different)
    else:
        counts = np.unpackbits(different.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.uint8)
    return counts
