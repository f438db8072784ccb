"""Scores stand beside the tags and objects that evidence gave, and nowhere else."""

import pytest

from olpipe.describing.scores import with_scores
from olpipe.image import Box
from olpipe.record import Detection, Evidence, Label

CAT_BOX = {"x": 1, "y": 2, "w": 30, "h": 20}
EVIDENCE = Evidence(
    (Detection("cat", 0.876, Box(1, 2, 30, 20), ("tabby",)), Detection("cup", 0.304, Box(50, 2, 9, 9))),
    (Label("cat", 0.876), Label("tabby", 0.5), Label("Cup", 0.304)),
)


def test_scores_stand_behind_the_tags_and_in_the_objects():
    values = with_scores({"tags": ["cat"], "title": "Cat", "objects": [{**CAT_BOX, "type": "cat"}]}, EVIDENCE)
    assert list(values) == ["tags", "tag_scores", "title", "objects"]
    assert values["tag_scores"] == [0.88]
    assert values["objects"] == [{**CAT_BOX, "type": "cat", "score": 0.88}]


@pytest.mark.parametrize(
    ("tags", "scores"),
    [
        ([], []),
        (["cat", "tabby"], [0.88, 0.5]),
        (["tabby", "cat"], [0.5, 0.88]),
        (["cat", "happy"], [0.88, None]),  # the model wrote the second one
        (["CAT", "cup "], [0.88, 0.3]),
    ],
)
def test_every_tag_has_the_score_of_its_name_or_none(tags, scores):
    assert with_scores({"tags": tags}, EVIDENCE) == {"tags": tags, "tag_scores": scores}


@pytest.mark.parametrize(
    ("thing", "score"),
    [
        ({**CAT_BOX, "type": "cat", "tags": []}, 0.88),
        ({**CAT_BOX, "type": "dog"}, None),
        ({**CAT_BOX, "x": 2, "type": "cat"}, None),
        ({**CAT_BOX, "w": 29, "type": "cat"}, None),
        ({"type": "cat"}, None),
    ],
)
def test_an_object_has_the_score_of_the_detection_with_its_box_and_type_or_none(thing, score):
    (scored,) = with_scores({"objects": [thing]}, EVIDENCE)["objects"]
    assert scored == (thing if score is None else {**thing, "score": score})


@pytest.mark.parametrize("evidence", [None, Evidence(), EVIDENCE])
def test_a_score_that_the_model_wrote_is_left_out(evidence):
    invented = {**CAT_BOX, "type": "lion", "score": 0.99}
    values = with_scores({"objects": [invented]}, evidence)
    assert values == {"objects": [{**CAT_BOX, "type": "lion"}]}


def test_the_surest_of_two_detections_with_one_box_and_name_gives_the_score():
    twice = Evidence((Detection("cat", 0.3, Box(1, 2, 30, 20)), Detection("cat", 0.7, Box(1, 2, 30, 20))))
    (scored,) = with_scores({"objects": [{**CAT_BOX, "type": "cat"}]}, twice)["objects"]
    assert scored["score"] == 0.7


def test_tags_have_no_scores_where_no_perceiver_looked():
    values = {"tags": ["cat"], "title": "Cat"}
    assert with_scores(values, None) == values


def test_values_that_are_missing_or_null_get_no_scores():
    assert with_scores({"title": "Cat"}, EVIDENCE) == {"title": "Cat"}
    assert with_scores({"tags": None, "objects": None}, EVIDENCE) == {"tags": None, "objects": None}


def test_the_values_of_the_task_are_left_as_they_are():
    thing = {**CAT_BOX, "type": "cat", "score": 0.1}
    values = {"objects": [thing]}
    with_scores(values, EVIDENCE)
    assert values == {"objects": [{**CAT_BOX, "type": "cat", "score": 0.1}]}
