"""Boxes that a model said become integer pixels of the upright original, in the caller's own properties."""

import json
import random
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.guidance.boxes import spoken
from olpipe.guidance.heard import heard
from olpipe.guidance.judge import judge
from olpipe.image import Box, BoxDialect, BoxOrder, BoxUnit, DecodedImage, ShownImage

ROOT = Path(__file__).parents[2]
PHOTO = tomllib.loads((ROOT / "pipelines" / "photo-tags.toml").read_text(encoding="utf-8"))["schema"]

THOUSANDTHS = BoxDialect("bbox_2d", "xyxy", "thousandths")
PIXELS = BoxDialect("bbox_2d", "xyxy", "pixels")
DOWN_FIRST = BoxDialect("box_2d", "yxyx", "thousandths")
DIALECTS = [BoxDialect("where", order, unit, "what") for order in get_args(BoxOrder) for unit in get_args(BoxUnit)]

WHOLE, TEXT = {"type": "integer"}, {"type": "string"}
SIDES = {"x": WHOLE, "y": WHOLE, "w": WHOLE, "h": WHOLE}
NAMED = {"type": "object", "properties": {**SIDES, "type": TEXT}}
LIST = {"type": "array", "items": NAMED}


def original(width=1000, height=500, orientation=1):
    return DecodedImage(np.zeros((1, 1, 3), np.uint8), width, height, orientation)


def listen(value, schema=NAMED, dialect=THOUSANDTHS, photo=None, **more):
    return heard(value, schema, dialect, photo or original(), **more)


def say(box, dialect, photo, shown):
    """Say a box as a perfect model would: it knows where the photo lies in the image that it sees."""
    left, top, right, bottom = shown.margins
    inner_width, inner_height = shown.width - left - right, shown.height - top - bottom
    xs = [left + edge / photo.width * inner_width for edge in (box.x, box.x + box.w)]
    ys = [top + edge / photo.height * inner_height for edge in (box.y, box.y + box.h)]
    shares = [x / shown.width for x in xs], [y / shown.height for y in ys]
    xs, ys = {
        "pixels": lambda: [[round(edge) for edge in edges] for edges in (xs, ys)],
        "thousandths": lambda: [[round(1000 * edge) for edge in edges] for edges in shares],
        "fractions": lambda: [[round(edge, 3) for edge in edges] for edges in shares],
        "original_pixels": lambda: [[box.x, box.x + box.w], [box.y, box.y + box.h]],
    }[dialect.unit]()
    return {
        "xyxy": [xs[0], ys[0], xs[1], ys[1]],
        "yxyx": [ys[0], xs[0], ys[1], xs[1]],
        "xywh": [xs[0], ys[0], xs[1] - xs[0], ys[1] - ys[0]],
    }[dialect.order]


@st.composite
def views(draw):
    """Draw a photo of any orientation and proportions, a box in it, and the size in which a model sees it."""
    stored = draw(st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)))
    orientation = draw(st.integers(1, 8))
    width, height = stored[::-1] if orientation >= 5 else stored
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = Box(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
    inner = draw(st.tuples(st.integers(28, 4_000), st.integers(28, 4_000)))
    margins = draw(st.just((0, 0, 0, 0)) | st.tuples(*[st.integers(0, 500)] * 4))
    shown = ShownImage(inner[0] + margins[0] + margins[2], inner[1] + margins[1] + margins[3], 1, margins)
    return original(width, height, orientation), box, shown


@given(views(), st.sampled_from(DIALECTS))
@example((original(4032, 3024), Box(0, 0, 4032, 3024), ShownImage(588, 448, 336)), PIXELS)
def test_a_box_comes_back_to_within_one_unit_of_the_dialect(view, dialect):
    photo, box, shown = view
    numbers = say(box, dialect, photo, shown)
    found = listen({dialect.key: numbers}, dialect=dialect, photo=photo, shown=shown)
    for start, length, size, fitted, inner in (
        ("x", "w", photo.width, shown.width, shown.width - shown.margins[0] - shown.margins[2]),
        ("y", "h", photo.height, shown.height, shown.height - shown.margins[1] - shown.margins[3]),
    ):
        units = {"thousandths": fitted / 1000, "fractions": fitted / 1000, "pixels": 1, "original_pixels": 0}
        unit = units[dialect.unit] * size / inner
        before, after = getattr(box, start), getattr(box, start) + getattr(box, length)
        assert found[start] == pytest.approx(before, abs=unit + 1)
        assert found[start] + found[length] == pytest.approx(after, abs=unit + 1)


@given(views(), st.sampled_from(DIALECTS), st.lists(st.integers(-(10**6), 10**6), min_size=4, max_size=4))
def test_whatever_a_model_says_the_box_lies_in_the_photo(view, dialect, numbers):
    photo, _, shown = view
    found = listen({dialect.key: numbers}, dialect=dialect, photo=photo, shown=shown)
    assert 0 <= found["x"] < found["x"] + found["w"] <= photo.width
    assert 0 <= found["y"] < found["y"] + found["h"] <= photo.height


@pytest.mark.parametrize(
    ("dialect", "numbers", "expected"),
    [  # in a photo of 1000x500 that the model sees as 200x200
        (THOUSANDTHS, [100, 200, 300, 400], (100, 100, 200, 100)),
        (DOWN_FIRST, [200, 100, 400, 300], (100, 100, 200, 100)),
        (PIXELS, [20, 40, 60, 80], (100, 100, 200, 100)),
        (THOUSANDTHS, [300, 400, 100, 200], (100, 100, 200, 100)),
        (THOUSANDTHS, [300, 200, 100, 400], (100, 100, 200, 100)),
        (THOUSANDTHS, [0, 0, 1000, 1000], (0, 0, 1000, 500)),
        (THOUSANDTHS, [1000, 1000, 1000, 1000], (999, 499, 1, 1)),
        (PIXELS, [150, 150, 16384, 16384], (750, 375, 250, 125)),
        (THOUSANDTHS, [500, 500, 500, 500], (500, 250, 1, 1)),
    ],
)
def test_numbers_become_pixels_of_the_original(dialect, numbers, expected):
    found = listen({dialect.key: numbers, "label": "cat"}, dialect=dialect, shown=ShownImage(200, 200, 64))
    assert found == dict(zip("xywh", expected, strict=True)) | {"type": "cat"}


def test_a_photo_between_margins_is_found_there():
    # 1000x500 in a square of 336: 84 pixels of padding above and below
    shown = ShownImage(336, 336, 576, margins=(0, 84, 0, 84))
    assert listen({"bbox_2d": [0, 250, 500, 750]}, shown=shown) == {"x": 0, "y": 0, "w": 500, "h": 500}
    assert listen({"bbox_2d": [0, 0, 1000, 500]}, shown=shown) == {"x": 0, "y": 0, "w": 1000, "h": 250}


def test_thousandths_need_no_size_but_pixels_do():
    assert listen({"bbox_2d": [0, 0, 500, 500]}) == {"x": 0, "y": 0, "w": 500, "h": 250}
    with pytest.raises(ValueError, match="does not say in which size the model saw the photo"):
        listen({"bbox_2d": [0, 0, 5, 5]}, dialect=PIXELS)


@pytest.mark.parametrize(
    ("schema", "said", "expected"),
    [
        (
            {"properties": {"type": TEXT, **SIDES, "tags": LIST}},
            {"bbox_2d": [0, 0, 100, 100], "label": "cat", "tags": []},
            {"type": "cat", "x": 0, "y": 0, "w": 100, "h": 50, "tags": []},
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/T"}}, "$defs": {"T": NAMED}},
            {"a": {"bbox_2d": [0, 0, 100, 100], "label": "cat"}},
            {"a": {"x": 0, "y": 0, "w": 100, "h": 50, "type": "cat"}},
        ),
        (
            {"items": {"anyOf": [{"properties": {**SIDES, "n": TEXT}}, {"properties": {"type": TEXT, **SIDES}}, TEXT]}},
            [{"bbox_2d": [0, 0, 100, 100], "label": "cat"}, {"bbox_2d": [0, 0, 100, 100], "n": "x"}, "bbox_2d"],
            [
                {"type": "cat", "x": 0, "y": 0, "w": 100, "h": 50},
                {"x": 0, "y": 0, "w": 100, "h": 50, "n": "x"},
                "bbox_2d",
            ],
        ),
        (
            {"properties": {**SIDES, "label": TEXT, "type": TEXT}},
            {"bbox_2d": [0, 0, 100, 100], "type": "cat", "label": "mine"},
            {"x": 0, "y": 0, "w": 100, "h": 50, "label": "mine", "type": "cat"},
        ),
        (
            {"additionalProperties": NAMED, "properties": {"label": TEXT}},
            {"label": "mine", "cat": {"bbox_2d": [0, 0, 100, 100]}},
            {"label": "mine", "cat": {"x": 0, "y": 0, "w": 100, "h": 50}},
        ),
        (
            {"prefixItems": [NAMED], "items": TEXT},
            [{"bbox_2d": [0, 0, 100, 100]}, "rest"],
            [{"x": 0, "y": 0, "w": 100, "h": 50}, "rest"],
        ),
        ({"properties": {"label": TEXT}}, {"label": "cat", "n": None}, {"label": "cat", "n": None}),
        ({"properties": {"bbox_2d": LIST, **SIDES}}, {"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [1, 2, 3, 4]}),
        (NAMED, {"bbox_2d": [1, 2, 3], "label": "cat"}, {"bbox_2d": [1, 2, 3], "label": "cat"}),
        (NAMED, {"bbox_2d": [1, 2, 3, True]}, {"bbox_2d": [1, 2, 3, True]}),
        (NAMED, {"label": "cat"}, {"label": "cat"}),
        (NAMED, "cat", "cat"),
    ],
)
def test_documents_have_the_callers_properties_in_the_callers_order(schema, said, expected):
    found = listen(said, schema)
    assert json.dumps(found) == json.dumps(expected)


def cat(*numbers, label="cat"):
    return {"bbox_2d": [*numbers], "label": label}


def test_what_is_said_twice_is_kept_once():
    found = listen(
        [
            cat(0, 0, 500, 500),
            cat(0, 0, 500, 510),  # overlaps by more than nine tenths
            cat(0, 0, 500, 500, label="dog"),
            cat(0, 0, 500, 400),  # overlaps by less
            cat(0, 0, 500, 500),
        ],
        LIST,
    )
    assert [(thing["type"], thing["h"]) for thing in found] == [("cat", 250), ("dog", 250), ("cat", 200)]


def test_boxes_that_are_too_thin_are_left_out_of_lists():
    thin, wide = cat(500, 0, 501, 900), cat(500, 0, 502, 900)  # 1 and 2 pixels of 1000
    assert [thing["w"] for thing in listen([thin, wide], LIST)] == [2]


def test_a_list_stays_as_long_as_it_must_be():
    same = cat(0, 0, 500, 500)
    assert len(listen([same, same, same], LIST | {"minItems": 2})) == 3
    assert len(listen([same, same, same], LIST | {"minItems": 1})) == 1


def test_known_values_stay_as_they_are():
    schema = {"properties": {"seen": LIST, "told": LIST}}
    seen = [{"x": 1, "y": 2, "w": 3, "h": 4, "type": "cat"}] * 2
    found = listen({"seen": seen, "told": [cat(0, 0, 100, 100)]}, schema, known=["seen"])
    assert found == {"seen": seen, "told": [{"x": 0, "y": 0, "w": 100, "h": 50, "type": "cat"}]}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_document_that_the_dialect_allows_becomes_one_that_the_recipe_allows(dialect):
    drawing = random.Random(7)
    written, given_schema = judge(spoken(PHOTO, dialect)), judge(PHOTO)
    for _ in range(10):
        photo = original(drawing.randint(1, 9_000), drawing.randint(1, 9_000))
        objects = [
            {dialect.key: [drawing.randint(0, dialect.most) for _ in range(4)], "what": "a", "tags": ["b"]}
            for _ in range(drawing.randint(0, 24))
        ]
        said = {"tags": [], "title": "t", "description": "A cat.", "alt": "a", "objects": objects}
        written.validate(said)
        given_schema.validate(heard(said, PHOTO, dialect, photo, shown=ShownImage(448, 336, 192)))
