"""Images as values: files, pixels, and boxes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

USUAL_PIXELS = 1024 * 1024
"""Larger photos are scaled down to about this many pixels, unless somebody asks for more.

It is enough for detectors, and it is what vision encoders take.
"""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A file that may hold an image, found but not yet read.

    Attributes:
        path: Where to open it.
        name: How records name it: relative to the folder that was given, with forward slashes.
        size_bytes: Its size when it was found.
        modified_ns: Its modification time when it was found, nanoseconds since the epoch.
    """

    path: Path
    name: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in integer pixels of the upright, full-size original, origin top-left (as in COCO).

    Attributes:
        x: The left edge.
        y: The top edge.
        w: The width.
        h: The height.
    """

    x: int
    y: int
    w: int
    h: int

    @property
    def area(self) -> int:
        """Pixels covered."""
        return self.w * self.h


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An image ready for a model.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB, upright; may be smaller than the original, never larger. They cannot be changed,
            because others look at them, too.
        width: Width of the upright original in pixels.
        height: Height of the upright original in pixels.
        orientation: EXIF orientation as found in the file, 1 to 8; already applied to `pixels`.
        format: The file's format as its loader names it: `JPEG`, `PNG`, …
        smaller: The same as `pixels`, decoded to fewer of them for those who can use no more; the largest first.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    orientation: int = 1
    format: str = "RAW"
    smaller: tuple[npt.NDArray[np.uint8], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _fixed(self.pixels))
        object.__setattr__(self, "smaller", tuple(map(_fixed, self.smaller)))

    def digest(self) -> str:
        """Return a hex digest of the pixels and of the original's size: different images have different digests."""
        hashed = hashlib.sha256(repr((self.pixels.shape, self.width, self.height)).encode())
        hashed.update(self.pixels.tobytes())
        return hashed.hexdigest()


def _fixed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a view of pixels through which they cannot be changed."""
    view = pixels.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file whose bytes were read and hashed once.

    Attributes:
        ref: Where it was found.
        sha256: Hex digest of its bytes.
        data: The bytes, or None when they are not in memory. Then `read` reads the file again.
    """

    ref: ImageRef
    sha256: str
    data: bytes | None = None

    def read(self) -> bytes:
        """Return the bytes, from memory if they are there, else from the file."""
        return self.ref.path.read_bytes() if self.data is None else self.data
