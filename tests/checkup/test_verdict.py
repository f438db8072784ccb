"""What is said of a model's answers."""

import pytest
from scipy.stats import binom

from olpipe.checkup.questions import KINDS, questions
from olpipe.checkup.verdict import Score, seen, verdict

ASKED = {kind: [question for question in questions() if question.kind == kind] for kind in KINDS}


def scores(**right):
    """Return scores with as many right answers as given; where none are given, as many as guessing gives."""
    found = []
    for kind, asked in ASKED.items():
        options = len(asked[0].options)
        found.append(Score(kind, right.get(kind, len(asked) // options), len(asked), 1 / options))
    return found


ALL = {kind: len(asked) for kind, asked in ASKED.items()}

# Right answers and the sentence
VERDICTS = [
    ({}, "`m` does not see: its answers are no better than guesses."),
    (dict.fromkeys(KINDS, 0), "`m` does not see: its answers are no better than guesses."),
    ({"size": 6}, "`m` does not see: its answers are no better than guesses."),  # luck once in 64 times
    (ALL, "`m` sees: colours, shapes, positions, numbers of things, printed words and sizes."),
    (
        {"colour": 6},
        "`m` sees colours, but not shapes, positions, numbers of things, printed words or sizes.",
    ),
    (
        {"colour": 6, "shape": 7, "size": 6},
        "`m` sees colours, shapes and sizes, but not positions, numbers of things or printed words.",
    ),
    (
        ALL | {"above_below": 4, "word": 1},
        "`m` sees colours, shapes, left and right, numbers of things and sizes, but not above and below or printed"
        " words.",
    ),
]


@pytest.mark.parametrize(("right", "expected"), VERDICTS)
def test_the_verdict_is_one_sentence(right, expected):
    assert verdict("m", scores(**right)) == expected


@pytest.mark.parametrize("score", scores(colour=3, shape=6, left_right=7, count=4), ids=lambda score: score.kind)
def test_luck_is_the_tail_of_the_binomial_distribution(score):
    assert score.luck == pytest.approx(binom.sf(score.right - 1, score.asked, score.guessing))


def test_answers_that_guessing_may_give_count_only_where_the_whole_is_no_guess():
    lucky = {"left_right": 7}  # by guessing, once in 28 times
    assert seen(scores(**lucky)) == []
    assert seen(scores(**lucky, colour=6, shape=8, word=6)) == ["colour", "shape", "left_right", "word"]


def test_a_model_that_always_answers_wrongly_does_not_see():
    assert seen(scores(**dict.fromkeys(KINDS, 0))) == []


def test_kinds_that_could_not_be_asked_are_not_named():
    asked = [score for score in scores(**ALL) if score.kind in ("colour", "word")]
    assert verdict("m", asked) == "`m` sees: colours and printed words."
    assert verdict("m", []) == "`m` does not see: its answers are no better than guesses."
