"""How sure evidence is, and what is left of it above a score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.image import Box
from olpipe.perception.certainty import certainty_of
from olpipe.perception.prompt import UNSURE
from olpipe.record import Certainty, Detection, Evidence, Label, ReadText

SURE, UNSURE_ONE, UNRECOGNISED = Certainty.SURE, Certainty.UNSURE, Certainty.UNRECOGNISED


def seen(*, objects=(), tags=(), texts=()):
    """Return evidence with objects and tags of these scores, and these texts."""
    return Evidence(
        tuple(Detection(f"thing {number}", score, Box(0, 0, 9, 9)) for number, score in enumerate(objects)),
        tuple(Label(f"tag {number}", score) for number, score in enumerate(tags)),
        tuple(ReadText(text, 0.99) for text in texts),
    )


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (seen(objects=[0.9], tags=[0.9]), SURE),
        (seen(objects=[0.9], tags=[0.1]), SURE),
        (seen(objects=[0.1], tags=[0.1, 0.9]), SURE),
        (seen(objects=[UNSURE]), SURE),
        (seen(tags=[UNSURE]), SURE),
        (seen(tags=[UNSURE - 0.001]), UNSURE_ONE),
        (seen(objects=[0.1, 0.2], tags=[0.3]), UNSURE_ONE),
        (seen(tags=[0.0]), UNSURE_ONE),
        (seen(texts=["STOP"]), UNSURE_ONE),
        (seen(texts=[" \n"]), UNRECOGNISED),
        (seen(), UNRECOGNISED),
    ],
)
def test_one_sure_name_is_enough_and_none_at_all_is_unrecognised(evidence, expected):
    assert certainty_of(evidence) is expected


@given(objects=st.lists(st.floats(0, 1), max_size=4), tags=st.lists(st.floats(0, 1), max_size=4), least=st.floats(0, 1))
def test_what_is_left_above_a_score_are_exactly_the_names_that_have_it(objects, tags, least):
    evidence = seen(objects=objects, tags=tags, texts=["STOP"])
    left = evidence.at_least(least)
    assert [thing.score for thing in left.objects] == [score for score in objects if score >= least]
    assert [label.score for label in left.tags] == [score for score in tags if score >= least]
    assert left.texts == evidence.texts


def test_a_finer_name_goes_with_the_tag_of_its_name():
    cat = Detection("cat", 0.9, Box(0, 0, 9, 9), ("tabby", "pet"))
    evidence = Evidence((cat,), (Label("cat", 0.9), Label("tabby", 0.2)))
    (thing,) = evidence.at_least(0.3).objects
    assert thing.tags == ("pet",)
    assert evidence.at_least(0.2) == evidence
