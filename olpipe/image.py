"""Images as values: files, pixels, and boxes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

USUAL_PIXELS = 1024 * 1024
"""Larger photos are scaled down to about this many pixels, unless somebody asks for more.

It is enough for detectors, and it is what vision encoders take.
"""

LEAST_SIDE = 2
"""Boxes in lists are left out where they are thinner than this many pixels."""

THOUSANDTHS = 1000
"""How many parts a side has in dialects that count in thousandths."""

MOST_FITTED = 16384
"""The largest number in dialects that count in pixels of the fitted image, whose sides are shorter than this."""

MOST_ORIGINAL = 99999
"""The largest number in dialects that count in pixels of the photo."""

NO_ENTRY = -1
"""The place of what is an archive itself, and not a file in it."""

BoxOrder = Literal["xyxy", "yxyx", "xywh"]
"""What the four numbers of a box are, one after the other."""

BoxUnit = Literal["thousandths", "fractions", "pixels", "original_pixels"]
"""What the numbers of a box count."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A file that may hold an image, found but not yet read. It lies in a folder, or in an archive.

    Attributes:
        path: Where it lies. The path of a file in an archive leads into the archive, as if that was a folder: it is
            unique, but only `read_file` can open it.
        name: How records name it: relative to the folder that was given, with forward slashes.
        size_bytes: Its size when it was found.
        modified_ns: Its modification time when it was found, nanoseconds since the epoch. In an archive, it is another
            number whenever the time or the size of the archive is another one: its time, and a millisecond at most.
        archive: The archive in which it lies; None where it lies in a folder.
        entry: Its place in the archive; `NO_ENTRY` for an archive that is damaged itself.
    """

    path: Path
    name: str
    size_bytes: int
    modified_ns: int
    archive: Path | None = None
    entry: int = 0

    def read_file(self, *, most: int = -1) -> bytes:
        """Return the file's bytes.

        Args:
            most: Read only this many bytes; all when negative.

        Raises:
            ImageError: It lies in an archive, and it or the archive is damaged, encrypted or too large.
            OSError: It cannot be opened or read.
        """
        if self.archive is None:
            with self.path.open("rb") as file:
                return file.read(most)
        from olpipe.archives.opened import read, refuse_damage

        if self.entry == NO_ENTRY:
            refuse_damage(self.archive)
        return read(self.archive, self.entry, self.path.relative_to(self.archive).as_posix(), most=most)


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

    def overlap(self, other: Box) -> float:
        """Return the area that two boxes share, as a part of the area that they cover together, 0..1."""
        width = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        height = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        shared = max(0, width) * max(0, height)
        return shared / (self.area + other.area - shared) if shared else 0.0


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image as the vision encoder saw it.

    Attributes:
        width: Pixels of the fitted image. The photo fills it, except for the margins.
        height: Pixels of the fitted image.
        tokens: How many tokens of the prompt stand for it.
        margins: Pixels at the left, top, right and bottom that are not the photo, where the family pads.
    """

    width: int
    height: int
    tokens: int
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BoxDialect:
    """The way in which a model was trained to say a box, such as `{"bbox_2d": [x1, y1, x2, y2], "label": "cat"}`.

    Attributes:
        key: The property with the four numbers.
        order: What the numbers are: two opposite corners, where `x` or `y` comes first in a corner, or one corner with
            the width and the height.
        unit: What the numbers count: `thousandths` of the image's sides, `fractions` of them from 0 to 1, `pixels` of
            the fitted image, or `original_pixels`.
        label: The property that says what is in the box. It stands right behind the numbers.
    """

    key: str
    order: BoxOrder
    unit: BoxUnit
    label: str = "label"

    def __str__(self) -> str:
        """Return it as people read it, such as `bbox_2d: xyxy in thousandths`."""
        return f"{self.key}: {self.order} in {self.unit.replace('_', ' ')}"

    @property
    def most(self) -> int:
        """The largest number that is allowed. The size of the image is not known when a model is asked."""
        return {"thousandths": THOUSANDTHS, "fractions": 1, "pixels": MOST_FITTED}.get(self.unit, MOST_ORIGINAL)

    @property
    def number(self) -> Mapping[str, Any]:
        """The JSON Schema of one of the numbers."""
        return {"type": "number" if self.unit == "fractions" else "integer", "minimum": 0, "maximum": self.most}

    def box(self, said: Sequence[float], photo: DecodedImage, shown: ShownImage | None = None) -> Box:
        """Return the box that four numbers stand for, within the photo. It is at least one pixel wide and high.

        Args:
            said: The numbers as the model said them. Corners may be in any order, and outside the photo.
            photo: The photo that they are about.
            shown: The photo as the model saw it. None means that it filled the fitted image.

        Raises:
            ValueError: The numbers are pixels, and nobody says of how many.
        """
        if shown is None and self.unit == "pixels":
            raise ValueError("the backend does not say in which size the model saw the photo")
        shown = shown or ShownImage(THOUSANDTHS, THOUSANDTHS, 0)
        if self.unit == "original_pixels":
            shown = ShownImage(photo.width, photo.height, 0)
        parts = (self.most, self.most) if self.unit in ("thousandths", "fractions") else (shown.width, shown.height)
        across, down = (said[1::2], said[0::2]) if self.order == "yxyx" else (said[0::2], said[1::2])
        if self.order == "xywh":
            across, down = (across[0], sum(across)), (down[0], sum(down))
        before_x, before_y, after_x, after_y = shown.margins
        x, w = _edges(across, shown.width / parts[0], before_x, shown.width - after_x, photo.width)
        y, h = _edges(down, shown.height / parts[1], before_y, shown.height - after_y, photo.height)
        return Box(x, y, w, h)


def _edges(said: Sequence[float], step: float, start: int, end: int, length: int) -> tuple[int, int]:
    """Return the first edge of a box on one axis and the distance to the second, in pixels of the photo.

    Args:
        said: Two numbers.
        step: How many pixels of the fitted image one of them stands for.
        start: Where the photo begins in the fitted image.
        end: Where it ends there.
        length: Pixels of the photo.
    """
    first, last = sorted(round((number * step - start) * length / (end - start)) for number in said)
    first = min(max(first, 0), length - 1)
    return first, min(max(last, first + 1), length) - first


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
        frames: How many frames, pages or pictures the file holds. `pixels` shows one of them, usually the first.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    orientation: int = 1
    format: str = "RAW"
    smaller: tuple[npt.NDArray[np.uint8], ...] = ()
    frames: int = 1

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
        data: The bytes, or None when they are not in memory. Then `read` reads the file again. Those of a photo in an
            archive are in memory, where nobody has dropped them to send the file elsewhere.
    """

    ref: ImageRef
    sha256: str
    data: bytes | None = None

    def read(self) -> bytes:
        """Return the bytes, from memory if they are there, else from the file or its archive."""
        return self.ref.read_file() if self.data is None else self.data
