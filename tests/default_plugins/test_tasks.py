"""The default tasks: what is asked, and what a record keeps of the answer."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.default_plugins.tasks.data import DataTask
from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.errors import SchemaError
from olpipe.generation import SamplingParams
from olpipe.image import DecodedImage
from olpipe.interfaces import TaskContext

IMAGE = DecodedImage(np.zeros((6, 8, 3), np.uint8), width=80, height=60)


def box(x, y, w, h):
    return {"x": x, "y": y, "w": w, "h": h, "type": "cat", "tags": []}


def test_a_request_shows_the_prompt_then_examples_then_the_photo():
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    context = TaskContext("m", "Look.", schema, SamplingParams(max_tokens=9), (("Q1", "A1"), ("Q2", "A2")), ("eye",))
    request = DataTask().build(IMAGE, context)
    spoken = [(message.role, message.text, len(message.images)) for message in request.messages]
    assert spoken == [
        ("user", "Look.\nQ1", 0),
        ("assistant", "A1", 0),
        ("user", "Q2", 0),
        ("assistant", "A2", 0),
        ("user", "", 1),
    ]
    assert request.guidance.source == '{"type":"object","properties":{"b":{},"a":{}}}'
    assert (request.model, request.sampling.max_tokens, request.perceivers) == ("m", 9, ("eye",))


def test_without_examples_the_prompt_stands_beside_the_photo():
    (message,) = PhotoTask().build(IMAGE, TaskContext("m", "Look.", {})).messages
    assert (message.role, message.text, message.images) == ("user", "Look.", (IMAGE,))


def test_photo_asks_for_no_sentences_in_a_language_that_the_model_does_not_write():
    properties = {"tags": {"type": "array"}, "title": {"type": "string", "minLength": 1}, "alt": {"minLength": 1}}
    schema = {"type": "object", "required": ["alt", "tags"], "properties": properties}
    context = TaskContext("m", "Look.", schema, language="zh-Hans", with_sentences=False)
    request = PhotoTask().build(IMAGE, context)
    assert request.language == "zh-Hans"
    assert request.guidance.constants == ()
    assert json.loads(request.guidance.source) == {
        "type": "object",
        "required": ["tags"],
        "properties": {"tags": {"type": "array"}},
    }


def test_photo_asks_for_sentences_in_a_language_that_the_model_may_write():
    schema = {"type": "object", "properties": {"title": {"type": "string", "minLength": 1}}}
    request = PhotoTask().build(IMAGE, TaskContext("m", "Look.", schema, language="zh-Hans"))
    assert request.guidance.constants == ()
    assert json.loads(request.guidance.source) == schema


def test_data_keeps_any_document_under_its_own_key():
    assert DataTask().parse({"file": "x", "data": [1]}, IMAGE) == {"data": {"file": "x", "data": [1]}}
    assert DataTask().parse([1, 2], IMAGE) == {"data": [1, 2]}


def test_photo_keeps_each_tag_once_in_order_whatever_its_case():
    values = PhotoTask().parse({"tags": ["cat", "Sofa", " cat", "sofa", "", "ferris wheel", "斑马"]}, IMAGE)
    assert values == {"tags": ["cat", "Sofa", "ferris wheel", "斑马"]}


@pytest.mark.parametrize(
    ("given_box", "kept"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ((-5, -5, 20, 20), (0, 0, 15, 15)),
        ((70, 50, 40, 40), (70, 50, 10, 10)),
        ((0, 0, 80, 60), (0, 0, 80, 60)),
        ((79, 0, 9, 9), None),
        ((90, 10, 5, 5), None),
        ((5, 5, 0, 9), None),
        ((5, 5, -3, 9), None),
    ],
)
def test_photo_clips_boxes_and_drops_those_with_nothing_left(given_box, kept):
    objects = PhotoTask().parse({"objects": [box(*given_box)]}, IMAGE)["objects"]
    assert objects == ([] if kept is None else [box(*kept)])


sides = st.integers(-200, 200)


@given(x=sides, y=sides, w=sides, h=sides)
def test_every_box_that_stays_lies_inside_the_photo_and_inside_itself(x, y, w, h):
    for kept in PhotoTask().parse({"objects": [box(x, y, w, h)]}, IMAGE)["objects"]:
        assert max(0, x) == kept["x"]
        assert max(0, y) == kept["y"]
        assert 2 <= kept["w"] <= w
        assert 2 <= kept["h"] <= h
        assert kept["x"] + kept["w"] <= 80
        assert kept["y"] + kept["h"] <= 60


def test_photo_keeps_objects_that_have_no_box():
    objects = PhotoTask().parse({"objects": [{"type": "cat", "tags": ["tabby", "Tabby"]}]}, IMAGE)["objects"]
    assert objects == [{"type": "cat", "tags": ["tabby"]}]


def test_photo_keeps_null_where_the_schema_allows_it():
    assert PhotoTask().parse({"tags": None, "objects": None}, IMAGE) == {"tags": None, "objects": None}


def test_photo_refuses_a_schema_in_which_the_model_writes_scores():
    items = {"type": "object", "properties": {"type": {"type": "string"}, "score": {"type": "number"}}}
    schema = {"properties": {"objects": {"type": "array", "items": items}}}
    with pytest.raises(SchemaError, match="does not let the model write the `score` of an object") as caught:
        PhotoTask().build(IMAGE, TaskContext("m", "Look.", schema))
    assert caught.value.hint == "leave it out of the schema: perceivers bring it"


@pytest.mark.parametrize("objects", [True, {}, {"items": False}, {"items": {"properties": {"type": {}}}}])
def test_photo_takes_any_other_schema_of_objects(objects):
    schema = {"properties": {"objects": objects}}
    assert json.loads(PhotoTask().build(IMAGE, TaskContext("m", "Look.", schema)).guidance.source) == schema


def test_photo_refuses_a_schema_whose_values_would_collide_with_the_record():
    with pytest.raises(SchemaError, match="the task `photo` does not know the property `file`") as caught:
        PhotoTask().build(IMAGE, TaskContext("m", "Look.", {"properties": {"file": {}}}))
    assert 'use `task = "data"`' in caught.value.hint
