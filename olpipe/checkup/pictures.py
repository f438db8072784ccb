"""Pictures that a model is asked about. Everything that they show is known, and they are the same every time."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from olpipe.image import Box

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "green": (20, 150, 60),
    "blue": (30, 70, 220),
    "yellow": (245, 205, 20),
    "black": (15, 15, 15),
    "purple": (140, 40, 170),
}
BACKGROUND = (236, 236, 236)
SHAPES = ("circle", "square", "triangle", "star")

FRAMES = ((448, 448), (720, 240), (240, 720), (128, 128), (1600, 1200))
"""Width and height of the pictures: a square, a wide, a tall, a small and a large one.

No side is near 1000 pixels. There, thousandths and pixels would be almost the same numbers.
"""

_TIPS = 5
_INNER = 0.4  # how far the inner corners of a star are from its middle, where the tips are at 1


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape in one colour.

    Attributes:
        kind: One of `SHAPES`.
        colour: A key of `COLOURS`.
        box: The pixels that it reaches to.
    """

    kind: str
    colour: str
    box: Box

    @property
    def name(self) -> str:
        """What it is called, like `red circle`."""
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows on its plain background.

    Attributes:
        width: Pixels.
        height: Pixels.
        shapes: The shapes. They do not overlap.
        word: A word that is printed in the middle; empty where there is none.
    """

    width: int
    height: int
    shapes: tuple[Shape, ...] = ()
    word: str = ""

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        buffer = io.BytesIO()
        self._drawn().save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def _drawn(self) -> Image.Image:
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (self.width, self.height), BACKGROUND)
        drawing = ImageDraw.Draw(image)
        for shape in self.shapes:
            _draw_shape(drawing, shape)
        if self.word:
            _draw_word(drawing, self.word, self.width, self.height)
        return image


def shape_at(frame: tuple[int, int], kind: str, colour: str, *, x: float, y: float, size: float) -> Shape:
    """Return a shape for a picture.

    Args:
        frame: Width and height of the picture.
        kind: One of `SHAPES`.
        colour: A key of `COLOURS`.
        x: Where its middle is, as a part of the picture's width.
        y: Where its middle is, as a part of the picture's height.
        size: Its width and height, as a part of the shorter side of the picture.
    """
    side = round(size * min(frame))
    left, top = (round(part * length - side / 2) for part, length in zip((x, y), frame, strict=True))
    return Shape(kind, colour, Box(left, top, side, side))


def _draw_shape(drawing: ImageDraw.ImageDraw, shape: Shape) -> None:
    box, colour = shape.box, COLOURS[shape.colour]
    right, bottom = box.x + box.w - 1, box.y + box.h - 1  # Pillow paints these pixels, too
    if shape.kind == "circle":
        drawing.ellipse((box.x, box.y, right, bottom), fill=colour)
    elif shape.kind == "square":
        drawing.rectangle((box.x, box.y, right, bottom), fill=colour)
    else:
        corners = _TRIANGLE if shape.kind == "triangle" else _star()
        points = [(box.x + round(x * (box.w - 1)), box.y + round(y * (box.h - 1))) for x, y in corners]
        drawing.polygon(points, fill=colour)


_TRIANGLE = [(0.5, 0.0), (1.0, 1.0), (0.0, 1.0)]


def _star() -> list[tuple[float, float]]:
    """Return the corners of a star that fills the square from 0 to 1."""
    corners = []
    for corner in range(2 * _TIPS):
        angle = math.pi * (corner / _TIPS - 0.5)
        radius = _INNER if corner % 2 else 1.0
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    lefts, tops = zip(*corners, strict=True)
    width, height = max(lefts) - min(lefts), max(tops) - min(tops)
    return [((x - min(lefts)) / width, (y - min(tops)) / height) for x, y in corners]


def _draw_word(drawing: ImageDraw.ImageDraw, word: str, width: int, height: int) -> None:
    """Print a word in the middle, in Pillow's own font, as large as fits well."""
    from PIL import ImageFont

    trial = 100.0
    size = min(trial * 0.75 * width / ImageFont.load_default(trial).getlength(word), 0.5 * height)
    drawing.text((width / 2, height / 2), word, fill=COLOURS["black"], font=ImageFont.load_default(size), anchor="mm")
