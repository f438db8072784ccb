"""The questions of an examination. Every right answer comes up equally often, so the same answer to all is a guess."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from olpipe.checkup.pictures import COLOURS, FRAMES, SHAPES, Picture, Shape, shape_at
from olpipe.image import MOST_ORIGINAL, BoxDialect

WORDS = ("APPLE", "HOUSE", "RIVER", "TABLE", "MUSIC", "PAPER")
COUNTS = (1, 2, 3, 4, 5)
LARGER = ("red", "blue")

# Each half comes up as often as the other, in every half of the list, too.
_HALVES = (0, 1, 1, 0, 1, 0, 0, 1)
_NEAR, _FAR = 0.25, 0.75

# The places of up to five shapes, as parts of the picture's width and height.
_PLACES = ((0.18, 0.27), (0.5, 0.73), (0.82, 0.27), (0.18, 0.73), (0.82, 0.73))

# The middle and the size of shapes whose boxes are asked for, and the middle of another shape, if there is one.
# No box lies on the diagonal, where x and y would be the same numbers.
_BOXES: tuple[tuple[float, float, float, tuple[float, float] | None], ...] = (
    (0.3, 0.6, 0.45, None),
    (0.75, 0.4, 0.6, (0.2, 0.6)),
    (0.4, 0.8, 0.7, None),
    (0.7, 0.3, 0.4, (0.25, 0.75)),
    (0.2, 0.65, 0.3, None),
    (0.7, 0.45, 0.5, (0.2, 0.2)),
    (0.25, 0.5, 0.7, (0.8, 0.5)),
    (0.6, 0.25, 0.6, (0.4, 0.7)),
    (0.65, 0.4, 0.5, None),
    (0.35, 0.7, 0.35, (0.8, 0.3)),
    (0.6, 0.25, 0.4, None),
    (0.85, 0.5, 0.55, None),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with a few possible answers.

    Attributes:
        kind: What kind of question it is: a key of `KINDS`.
        picture: What it is about.
        text: The question.
        options: The answers to choose from.
        answer: The right one.
    """

    kind: str
    picture: Picture
    text: str
    options: tuple[str | int, ...]
    answer: str | int

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        options = ", ".join(map(str, self.options))
        return f'{self.text} Answer as JSON with the key "answer". Its value is one of these: {options}.'

    @property
    def schema(self) -> str:
        """The JSON Schema that the answer is held to."""
        return _object({"answer": {"enum": list(self.options)}})


@dataclass(frozen=True, slots=True)
class BoxQuestion:
    """A question about the place of a shape.

    Attributes:
        picture: What it is about.
        shape: The shape whose box is asked for.
    """

    picture: Picture
    shape: Shape

    def prompt(self, dialect: BoxDialect) -> str:
        """Return what the model is asked. It is not told how to count: it should do that as it was trained to."""
        where = f"Where is the {self.shape.name} in this picture?"
        return f'{where} Answer as JSON with the key "{dialect.key}" for its bounding box.'

    def schema(self, dialect: BoxDialect) -> str:
        """Return the JSON Schema that the answer is held to. It has room for every way to say a box."""
        number = {"type": "number", "minimum": 0, "maximum": MOST_ORIGINAL}
        box = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
        return _object({dialect.key: box, dialect.label: {"enum": [self.shape.name]}})


def questions() -> list[Question]:
    """Return all questions with a few possible answers."""
    return [*_colours(), *_shapes(), *_sides(), *_heights(), *_counts(), *_words(), *_sizes()]


def box_questions() -> list[BoxQuestion]:
    """Return all questions about boxes."""
    found = []
    colours = list(COLOURS)
    for number, (x, y, size, other) in enumerate(_BOXES):
        frame = FRAMES[number % len(FRAMES)]
        kind, colour = SHAPES[number % len(SHAPES)], colours[number % len(colours)]
        shapes = [shape_at(frame, kind, colour, x=x, y=y, size=size)]
        if other is not None:
            kind, colour = SHAPES[(number + 1) % len(SHAPES)], colours[(number + 2) % len(colours)]
            shapes.append(shape_at(frame, kind, colour, x=other[0], y=other[1], size=0.25))
        found.append(BoxQuestion(Picture(*frame, tuple(shapes)), shapes[0]))
    return found


KINDS = {
    "colour": "colours",
    "shape": "shapes",
    "left_right": "left and right",
    "above_below": "above and below",
    "count": "numbers of things",
    "word": "printed words",
    "size": "sizes",
}
"""The kinds of questions, each with what a model sees that answers them rightly."""


def _colours() -> Iterator[Question]:
    for frame, kind, colour in zip(cycle(FRAMES), cycle(SHAPES), COLOURS, strict=False):
        picture = Picture(*frame, (shape_at(frame, kind, colour, x=0.5, y=0.5, size=0.5),))
        text = "Which colour does the shape in this picture have?"
        yield Question("colour", picture, text, tuple(COLOURS), colour)


def _shapes() -> Iterator[Question]:
    for frame, kind, colour in zip(cycle(FRAMES), SHAPES * 2, cycle(COLOURS), strict=False):
        picture = Picture(*frame, (shape_at(frame, kind, colour, x=0.5, y=0.5, size=0.6),))
        yield Question("shape", picture, "Which shape is in this picture?", SHAPES, kind)


def _sides() -> Iterator[Question]:
    options = ("left", "right")
    for number, (frame, half) in enumerate(zip(cycle(FRAMES), _HALVES, strict=False)):
        x, y = (_NEAR, _FAR)[half], (0.35, 0.65)[number % 2]
        picture = Picture(*frame, (_some_shape(frame, number, x, y),))
        text = "In which half of this picture is the shape, in the left or in the right one?"
        yield Question("left_right", picture, text, options, options[half])


def _heights() -> Iterator[Question]:
    options = ("top", "bottom")
    for number, (frame, half) in enumerate(zip(cycle(FRAMES), _HALVES, strict=False)):
        x, y = (0.65, 0.35)[number % 2], (_NEAR, _FAR)[half]
        picture = Picture(*frame, (_some_shape(frame, number + 1, x, y),))
        text = "In which half of this picture is the shape, in the top or in the bottom one?"
        yield Question("above_below", picture, text, options, options[half])


def _some_shape(frame: tuple[int, int], number: int, x: float, y: float) -> Shape:
    kind, colour = SHAPES[number % len(SHAPES)], list(COLOURS)[number % len(COLOURS)]
    return shape_at(frame, kind, colour, x=x, y=y, size=0.35)


def _counts() -> Iterator[Question]:
    for frame, count, kind, colour in zip(FRAMES, (3, 1, 4, 2, 5), cycle(SHAPES), cycle(COLOURS), strict=False):
        places = _PLACES[:count]
        shapes = tuple(shape_at(frame, kind, colour, x=x, y=y, size=0.22) for x, y in places)
        yield Question("count", Picture(*frame, shapes), "How many shapes are in this picture?", COUNTS, count)


def _words() -> Iterator[Question]:
    for frame, word in zip(cycle(FRAMES), WORDS, strict=False):
        yield Question("word", Picture(*frame, word=word), "Which word is written in this picture?", WORDS, word)


def _sizes() -> Iterator[Question]:
    for number, (frame, larger) in enumerate(zip(cycle(FRAMES), (0, 1, 1, 0, 0, 1), strict=False)):
        kind = SHAPES[number % len(SHAPES)]
        first = (0.45, 0.2)[larger]
        sizes, places = (first, 0.65 - first), ((_NEAR, _FAR), (_FAR, _NEAR))[number % 2]
        shapes = [
            shape_at(frame, kind, colour, x=place, y=place, size=size)
            for colour, place, size in zip(LARGER, places, sizes, strict=True)
        ]
        text = "Two shapes are in this picture. Which one is larger, the red one or the blue one?"
        yield Question("size", Picture(*frame, tuple(shapes)), text, LARGER, LARGER[larger])


def _object(properties: Mapping[str, Any]) -> str:
    """Return the text of a JSON Schema of an object that has exactly these properties."""
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return json.dumps(schema)
