"""A model that sees is asked for boxes in its own dialect, and its caller reads pixels of the photo."""

import json
import logging

import pytest

from olpipe.errors import UsageError
from olpipe.generation import Completion, FinishReason, GenerateRequest, Guidance, Timings, Usage
from olpipe.guidance.interpreter import Interpreter
from olpipe.image import BoxDialect, ShownImage
from olpipe.messages import Message
from olpipe.model import RunnerInfo
from olpipe.testing.images import decoded

PIXELS = BoxDialect("bbox_2d", "xyxy", "pixels")
PHOTO = decoded(48, 32, scale=10)
WHOLE = {"type": "integer"}
BOX = {"type": "object", "properties": {"x": WHOLE, "y": WHOLE, "w": WHOLE, "h": WHOLE}, "required": ["x"]}
BOXES = {"type": "array", "items": BOX}
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}, "objects": BOXES}, "required": ["objects"]}


def interpreter(boxes=PIXELS, pixels=10**6):
    return Interpreter(RunnerInfo(4096, fit_pixels=pixels, boxes=boxes))


def asking(schema=SCHEMA, *, constants=(), photos=(PHOTO,), kind="json_schema"):
    guidance = Guidance(kind, json.dumps(schema), constants)
    return GenerateRequest("m", (Message.of("user", "?", *photos),), guidance=guidance)


def answer(text, *shown):
    return Completion(text, FinishReason.STOP, Usage(), Timings(), shown=shown)


def test_the_model_gets_its_dialect_and_the_caller_gets_pixels_of_the_photo_shown_last():
    request = asking(photos=(decoded(), PHOTO))
    interpreting = interpreter()
    spoken = json.loads(interpreting.spoken(request).guidance.source)
    assert list(spoken["properties"]["objects"]["items"]["properties"]) == ["bbox_2d"]
    text = '{"title":"ä","objects":[{"bbox_2d":[0,0,50,50]}]}'
    heard = interpreting.heard(request, answer(text, ShownImage(9, 9, 1), ShownImage(100, 100, 1)))
    assert heard == '{"title":"ä","objects":[{"x":0,"y":0,"w":240,"h":160}]}'


@pytest.mark.parametrize(
    ("interpreting", "request_"),
    [
        (interpreter(pixels=0), asking()),
        (interpreter(), asking(photos=())),
        (interpreter(), asking({"type": "object", "properties": {"title": {"type": "string"}}})),
        (interpreter(), asking("x y w h", kind="regex")),
        (interpreter(), GenerateRequest("m", (Message.of("user", "?", decoded()),))),
        (interpreter(None), asking({"type": "object", "properties": {"title": {"type": "string"}}})),
        (interpreter(None, pixels=0), asking()),
        (interpreter(None), asking({"type": "object", "properties": {"o": BOXES}}, constants=(("o", "[]"),))),
    ],
)
def test_a_request_without_boxes_for_a_model_that_sees_stays_as_it_is(interpreting, request_):
    assert interpreting.asked(request_) is request_
    assert interpreting.spoken(request_) is request_
    text = '{"bbox_2d": [1,2,3,4]}'
    assert interpreting.heard(request_, answer(text)) == text


def test_known_values_are_pixels_already():
    request = asking(constants=(("objects", '[{"x":1,"y":2,"w":3,"h":4}]'),))
    text = '{"title":"a","objects":[{"x":1,"y":2,"w":3,"h":4}]}'
    assert interpreter().heard(request, answer(text, ShownImage(10, 10, 1))) == text


def test_an_answer_that_is_not_json_is_left_to_the_judge():
    assert interpreter().heard(asking(), answer("no json", ShownImage(10, 10, 1))) == "no json"


def test_a_model_without_a_dialect_is_not_asked_for_boxes_and_a_warning_says_so_once(caplog):
    interpreting = interpreter(None)
    with caplog.at_level(logging.WARNING):
        requests = [interpreting.asked(asking()) for _ in range(3)]
    for request in requests:
        assert json.loads(request.guidance.source) == {
            "type": "object",
            "properties": {"title": {"type": "string"}},
            "required": [],
        }
        assert interpreting.spoken(request) is request
    (warning,) = caplog.messages
    assert warning == ("`m` was not trained to say where things are, so this is left out: `$.properties.objects`")


def test_a_schema_of_boxes_only_is_refused_where_the_model_says_none():
    with pytest.raises(UsageError) as caught:
        interpreter(None).asked(asking(BOXES))
    assert caught.value.message == ("the schema asks for boxes only, and `m` was not trained to say where things are")
    assert caught.value.hint == "name perceivers that find them, with `--perceivers`, or another model"
