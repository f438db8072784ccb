"""The pictures and questions of an examination: what they show is known, and it is the same every time."""

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from olpipe.checkup.pictures import BACKGROUND, COLOURS, FRAMES, Picture
from olpipe.checkup.questions import KINDS, box_questions, questions

SHOWN = [question.picture for question in [*questions(), *box_questions()]]
SHAPELY = [picture for picture in SHOWN if picture.shapes]

DIGEST = """
import hashlib
from olpipe.checkup.questions import box_questions, questions
shown = [question.picture.png() for question in [*questions(), *box_questions()]]
print(hashlib.sha256(b"".join(shown)).hexdigest())
"""


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_draws_the_same_pictures(seed):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    drawn = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=environment)
    here = hashlib.sha256(b"".join(picture.png() for picture in SHOWN)).hexdigest()
    assert drawn.stdout.strip() == here


@pytest.mark.examples(12)
@pytest.mark.parametrize("picture", SHAPELY, ids=lambda picture: "-".join(shape.name for shape in picture.shapes))
def test_a_shape_reaches_to_the_edges_of_its_box_and_no_further(picture):
    drawn = pixels(picture)
    painted = (drawn != BACKGROUND).any(axis=2)
    for shape in picture.shapes:
        box = shape.box
        inside = np.zeros_like(painted)
        inside[box.y : box.y + box.h, box.x : box.x + box.w] = True
        rows, columns = np.nonzero(painted & inside)
        assert (columns.min(), rows.min()) == (box.x, box.y)
        assert (columns.max() + 1, rows.max() + 1) == (box.x + box.w, box.y + box.h)
        assert {tuple(map(int, pixel)) for pixel in drawn[painted & inside]} == {COLOURS[shape.colour]}
        painted &= ~inside
    assert not painted.any()


def test_a_word_is_printed_within_the_picture_and_is_large_enough_to_be_read():
    for picture in SHOWN:
        if picture.word:
            rows, columns = np.nonzero((pixels(picture) != BACKGROUND).any(axis=2))
            assert columns.min() > 0 and columns.max() < picture.width - 1
            assert np.ptp(rows) >= 12


def test_pictures_are_square_wide_tall_small_and_large():
    assert {(picture.width, picture.height) for picture in SHOWN} == set(FRAMES)
    assert {round(width / height, 1) for width, height in FRAMES} >= {1.0, 3.0, 0.3}
    assert max(width * height for width, height in FRAMES) > 100 * min(width * height for width, height in FRAMES)


def test_there_are_at_most_sixty_questions():
    assert len(SHOWN) <= 60


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_right_equally_often_so_the_same_answer_to_all_is_as_good_as_a_guess(kind):
    asked = [question for question in questions() if question.kind == kind]
    right = Counter(question.answer for question in asked)
    assert set(right) == set(asked[0].options)
    assert set(right.values()) == {len(asked) / len(asked[0].options)}
    assert {(question.options, question.prompt) for question in asked} == {(asked[0].options, asked[0].prompt)}


def test_no_box_would_be_right_if_x_and_y_were_exchanged():
    for question in box_questions():
        box, picture = question.shape.box, question.picture
        middle = (box.x + box.w / 2) / picture.width, (box.y + box.h / 2) / picture.height
        assert abs(middle[0] - middle[1]) > 0.1
        assert question.picture.shapes[0] is question.shape
        assert len({shape.name for shape in picture.shapes}) == len(picture.shapes)


def test_an_empty_picture_is_its_background():
    assert (pixels(Picture(30, 20)) == BACKGROUND).all()
