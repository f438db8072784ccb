"""Which way to read boxes fits what a model says."""

from itertools import product
from types import SimpleNamespace

import pytest

from olpipe.checkup.conventions import SaidBox, fits
from olpipe.image import Box, BoxDialect, ShownImage

ORDERS = ("xyxy", "yxyx", "xywh")
UNITS = ("thousandths", "fractions", "pixels", "original_pixels")
QWEN = BoxDialect("bbox_2d", "xyxy", "thousandths")

# Width and height of a picture, the same of what the model saw, and the box of the shape
CASES = [
    ((1600, 1200), (448, 336), Box(300, 700, 400, 400)),
    ((720, 240), (672, 224), Box(500, 60, 100, 150)),
    ((240, 720), (224, 672), Box(20, 500, 150, 150)),
]


def numbers(box, order, sides):
    """Return a box as a model says it that counts to `sides` across and down."""
    (across, down), (width, height) = sides
    x1, x2 = box.x * across / width, (box.x + box.w) * across / width
    y1, y2 = box.y * down / height, (box.y + box.h) * down / height
    said = {"xyxy": (x1, y1, x2, y2), "yxyx": (y1, x1, y2, x2), "xywh": (x1, y1, x2 - x1, y2 - y1)}
    return said[order]


def picture(width, height):
    return SimpleNamespace(width=width, height=height)


def said(order, unit, *, cases=CASES, tells=True):
    found = []
    for size, seen, box in cases:
        sides = {"thousandths": (1000, 1000), "fractions": (1, 1), "pixels": seen, "original_pixels": size}[unit]
        shown = ShownImage(*seen, 1) if tells else None
        found.append(SaidBox(numbers(box, order, (sides, size)), picture(*size), shown, box))
    return found


@pytest.mark.parametrize(("order", "unit"), [*product(ORDERS, UNITS)])
def test_the_way_in_which_a_model_says_boxes_is_found(order, unit):
    best, second, *_ = fits(said(order, unit), QWEN)
    assert (best.order, best.unit) == (order, unit)
    assert best.overlap > 0.97
    assert second.overlap < 0.6


def test_every_way_is_tried_once():
    found = fits(said("xyxy", "pixels"), QWEN)
    assert sorted((fit.order, fit.unit) for fit in found) == sorted(product(ORDERS, UNITS))
    assert [fit.overlap for fit in found] == sorted((fit.overlap for fit in found), reverse=True)


def test_pixels_of_what_the_model_saw_are_left_out_where_nobody_says_how_many_there_are():
    found = fits(said("xyxy", "thousandths", tells=False), QWEN)
    assert len(found) == 9
    assert all(fit.unit != "pixels" for fit in found)
    assert found[0].overlap > 0.97


def test_of_two_ways_that_fit_equally_well_the_one_of_the_family_comes_first():
    same = [((640, 480), (640, 480), Box(300, 100, 200, 200))]
    for unit in ("pixels", "original_pixels"):
        best, second, *_ = fits(said("xyxy", "pixels", cases=same), BoxDialect("bbox_2d", "xyxy", unit))
        assert (best.unit, best.overlap) == (unit, second.overlap)


def test_margins_belong_to_the_image_that_the_model_counts_in():
    # A photo of 400x200 in the middle of 400x400, and its right half
    shown = ShownImage(400, 400, 1, margins=(0, 100, 0, 100))
    boxes = {"thousandths": (500, 250, 1000, 750), "fractions": (0.5, 0.25, 1, 0.75), "pixels": (200, 100, 400, 300)}
    for unit, said_numbers in boxes.items():
        one = SaidBox(said_numbers, picture(400, 200), shown, Box(200, 0, 200, 200))
        best = fits([one], BoxDialect("bbox_2d", "xyxy", unit))[0]
        assert (best.order, best.unit, best.overlap) == ("xyxy", unit, 1.0)


def test_an_answer_that_cannot_be_read_is_no_box():
    right = said("xyxy", "thousandths")
    unread = [SaidBox((), one.picture, one.shown, one.true) for one in right]
    assert fits([*right, unread[0]], QWEN)[0].overlap > 0.97
    assert {fit.overlap for fit in fits([right[0], *unread[1:]], QWEN)} == {0.0}


@pytest.mark.parametrize("wild", [(1e9, 1e9, 1e9, 1e9), (0.0, 0.0, 0.0, 0.0), (99999.5, 0, 3, 99999)])
def test_wild_numbers_fit_in_no_way(wild):
    size, seen, box = CASES[0]
    found = fits([SaidBox(wild, picture(*size), ShownImage(*seen, 1), box)], QWEN)
    assert all(0 <= fit.overlap < 0.5 for fit in found)
