import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from olpipe.errors import UnknownName, UsageError
from olpipe.generation import GenerateRequest, Guidance
from olpipe.guidance.judge import judge
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence, Label
from olpipe.registry import Registry

PHOTO = DecodedImage(np.zeros((30, 90, 3), np.uint8), width=90, height=30)
CAT = Evidence((Detection("cat", 0.9, Box(1, 2, 30, 20), ("tabby",)),), (Label("cat", 0.9), Label("tabby", 0.7)))
CUP = Evidence((Detection("cup", 0.6, Box(70, 2, 10, 9)),), (Label("cup", 0.6), Label("cat", 0.3)))
SCHEMA = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8, "x-evidence": "tags"},
        "title": {"type": "string"},
        "objects": {"type": "array", "maxItems": 8, "x-evidence": "objects"},
    },
}


class Fixed(Perceiver):
    """Sees the same in every photo."""

    version = "1"

    def __init__(self, name, evidence):
        self.name = name
        self.evidence = evidence

    def perceive(self, image):
        return self.evidence

    def words(self):
        return {"cat": {"cat", "cats"}, "cup": {"cup", "mugs"}, "dining table": {"table", "desk"}, "hot dog": set()}

    def translations(self):
        return {"de": {"cat": "Katze", "cup": "Tasse", "tabby": "Katze"}}


@pytest.fixture
def perceivers():
    registry = Registry("perceiver", Perceiver)
    for name, evidence in (("cats", CAT), ("cups", CUP), ("blind", Evidence())):
        registry.register(Fixed(name, evidence), "test")
    return registry


def bundle(*perceivers, capabilities=("completion",)):
    config = ModelConfig(capabilities=capabilities, perceivers=perceivers)
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", Path(), Path(), config)


def request(*images, schema=None, **changes):
    guidance = None if schema is None else Guidance("json_schema", json.dumps(schema))
    made = GenerateRequest("tiny", (Message.of("user", "Describe it.", *images),), guidance=guidance)
    return replace(made, **changes)


def ground(asked, model, perceivers):
    """Ground one request with the perceivers that it names, or else those that the model's manifest names."""
    return Grounder(model, perceivers, names=asked.perceivers).ground(asked).request


def constants(grounded):
    return {name: json.loads(value) for name, value in grounded.guidance.constants}


def test_a_model_without_vision_reads_the_evidence_in_place_of_the_photo(perceivers):
    grounded = ground(request(PHOTO), bundle("cats"), perceivers)
    assert grounded.messages[0].images == ()
    assert grounded.messages[0].text == "photo: cat (left)\nDescribe it."


def test_a_model_with_vision_keeps_the_photo_and_gets_the_evidence_too(perceivers):
    grounded = ground(request(PHOTO), bundle("cats", capabilities=("completion", "vision")), perceivers)
    assert grounded.messages[0].images == (PHOTO,)
    assert grounded.messages[0].text == "photo: cat (left)\nDescribe it."


def test_evidence_stands_where_the_photo_stood(perceivers):
    parts = (TextPart("Before."), ImagePart(PHOTO), TextPart("After."))
    for capabilities, length in ((("completion",), 3), (("vision",), 4)):
        asked = request(messages=(Message("user", parts),))
        message = ground(asked, bundle("cats", capabilities=capabilities), perceivers).messages[0]
        assert message.text == "Before.\nphoto: cat (left)\nAfter."
        assert len(message.parts) == length


def test_the_request_overrules_the_manifest(perceivers):
    grounded = ground(request(PHOTO, perceivers=("cups",)), bundle("cats"), perceivers)
    assert grounded.messages[0].text.startswith("photo: cup (right), maybe cat")


def test_evidence_of_several_perceivers_is_added_up(perceivers):
    grounded = ground(request(PHOTO, schema=SCHEMA), bundle("cats", "cups"), perceivers)
    assert grounded.messages[0].text.startswith("photo: cat (left), cup (right)")
    assert constants(grounded)["tags"] == ["cat", "tabby", "cup"]


def test_annotated_properties_become_constants_and_the_rest_is_left_to_the_model(perceivers):
    grounded = ground(request(PHOTO, schema=SCHEMA), bundle("cats"), perceivers)
    assert constants(grounded) == {
        "tags": ["cat", "tabby"],
        "objects": [{"x": 1, "y": 2, "w": 30, "h": 20, "type": "cat", "tags": ["tabby"]}],
    }


def test_constants_are_compact_json_in_the_order_of_the_schema(perceivers):
    grounded = ground(request(PHOTO, schema=SCHEMA), bundle("cats"), perceivers)
    assert grounded.guidance.constants[0] == ("tags", '["cat","tabby"]')
    assert [name for name, _ in grounded.guidance.constants] == ["tags", "objects"]


def test_known_values_are_in_the_language_of_the_request_and_the_prompt_stays_english(perceivers):
    grounded = ground(request(PHOTO, schema=SCHEMA, language="de-AT"), bundle("cats", "cups"), perceivers)
    assert grounded.messages[0].text.startswith("photo: cat (left), cup (right)")
    tags, objects = constants(grounded).values()
    assert tags == ["Katze", "Tasse"]
    assert [(thing["type"], thing["tags"]) for thing in objects] == [("Katze", []), ("Tasse", [])]


def test_the_schema_has_room_for_words_as_they_will_stand(perceivers):
    schema = tags_schema(items={"enum": ["Tasse", "Hund", "cat"]})
    grounded = ground(request(PHOTO, schema=schema, language="de"), bundle("cats", "cups"), perceivers)
    assert constants(grounded) == {"tags": ["Tasse"]}


def test_a_language_that_the_perceivers_do_not_speak_is_a_usage_error(perceivers):
    with pytest.raises(UsageError, match="there are no tags in `fr`"):
        ground(request(PHOTO, schema=SCHEMA, language="fr"), bundle("cats"), perceivers)


def test_a_photo_with_nothing_in_it_is_evidence_too(perceivers):
    grounded = ground(request(PHOTO, schema=SCHEMA), bundle("blind"), perceivers)
    assert grounded.messages[0].text == "photo: nothing recognised\nDescribe it."
    assert constants(grounded) == {"tags": [], "objects": []}


def allows(grounded, document):
    """Say whether the guidance of a request allows a document."""
    return judge(json.loads(grounded.guidance.source)).is_valid(document)


def tags_schema(**changes):
    return {"properties": {"tags": {"type": "array", "x-evidence": "tags", **changes}}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"maxItems": 1}, ["cat"]),
        ({"items": {"type": "string", "maxLength": 3}}, ["cat"]),
        ({"items": {"enum": ["tabby", "dog"]}}, ["tabby"]),
        ({"items": True}, ["cat", "tabby"]),
        ({"items": {"$ref": "#/$defs/tag"}}, ["cat", "tabby"]),
        ({"items": {"type": "string", "pattern": "y$"}}, ["tabby"]),
        ({"items": {"type": "string", "minLength": 4}}, ["tabby"]),
        ({"items": {"$ref": "#/$defs/short"}}, ["cat"]),
        ({"allOf": [{"maxItems": 1}, {"items": {"not": {"const": "cat"}}}]}, ["tabby"]),
    ],
)
def test_tags_are_cut_to_what_the_schema_has_room_for(perceivers, changes, expected):
    schema = {**tags_schema(**changes), "$defs": {"tag": {"type": "string"}, "short": {"maxLength": 3}}}
    assert constants(ground(request(PHOTO, schema=schema), bundle("cats"), perceivers)) == {"tags": expected}


def test_objects_and_their_tags_are_cut_to_what_the_schema_has_room_for(perceivers):
    item = {"type": "object", "properties": {"tags": {"type": "array", "maxItems": 0}}}
    schema = {"properties": {"things": {"type": "array", "maxItems": 1, "items": item, "x-evidence": "objects"}}}
    grounded = ground(request(PHOTO, schema=schema), bundle("cats", "cups"), perceivers)
    assert constants(grounded) == {"things": [{"x": 1, "y": 2, "w": 30, "h": 20, "type": "cat", "tags": []}]}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [({"type": {"enum": ["cup", "dog"]}}, ["cup"]), ({"x": {"maximum": 50}}, ["cat"]), ({"w": {"minimum": 99}}, [])],
)
def test_objects_that_the_schema_has_no_room_for_are_left_out_and_the_others_stay(perceivers, properties, expected):
    item = {"type": "object", "properties": properties}
    schema = {"properties": {"things": {"type": "array", "items": item, "x-evidence": "objects"}}}
    grounded = ground(request(PHOTO, schema=schema), bundle("cats", "cups"), perceivers)
    assert [thing["type"] for thing in constants(grounded)["things"]] == expected


def test_equal_objects_come_once_where_the_schema_asks_for_different_ones(perceivers):
    perceivers.register(Fixed("more-cats", CAT + CAT), "test")
    schema = {"properties": {"things": {"type": "array", "x-evidence": "objects", "uniqueItems": True}}}
    grounded = ground(request(PHOTO, schema=schema), bundle("more-cats"), perceivers)
    assert [thing["type"] for thing in constants(grounded)["things"]] == ["cat"]


def test_a_value_that_the_schema_insists_on_is_left_to_the_model(perceivers):
    schema = tags_schema(minItems=3) | {"required": ["tags"]}
    grounded = ground(request(PHOTO, schema=schema), bundle("cats"), perceivers)
    assert grounded.guidance.constants == ()
    assert allows(grounded, {"tags": ["cat", "tabby", "tomcat"]})


def test_a_constant_that_is_already_known_stays(perceivers):
    guidance = Guidance("json_schema", json.dumps(tags_schema()), (("tags", '["mine"]'),))
    grounded = ground(request(PHOTO, guidance=guidance), bundle("cats"), perceivers)
    assert constants(grounded) == {"tags": ["mine"]}


def test_an_unknown_kind_of_evidence_is_a_usage_error(perceivers):
    schema = {"properties": {"mood": {"x-evidence": "mood"}}}
    with pytest.raises(UsageError) as caught:
        ground(request(PHOTO, schema=schema), bundle("cats"), perceivers)
    assert caught.value.message == "`x-evidence` at `$.properties.mood` cannot be `mood`"


def test_guidance_that_is_no_schema_gets_no_constants(perceivers):
    guidance = Guidance("regex", "[a-z]+")
    assert ground(request(PHOTO, guidance=guidance), bundle("cats"), perceivers).guidance == guidance


def test_a_blind_model_without_perceivers_is_a_usage_error_with_the_way_out(perceivers):
    with pytest.raises(UsageError, match="model `tiny:latest` cannot see images") as caught:
        ground(request(PHOTO), bundle(), perceivers)
    assert "--perceivers photo-mini" in caught.value.hint


def test_a_perceiver_that_is_not_installed_is_named(perceivers):
    with pytest.raises(UnknownName, match="no perceiver is called `cat`"):
        ground(request(PHOTO, perceivers=("cat",)), bundle(), perceivers)


def test_an_empty_choice_of_perceivers_leaves_a_vision_model_alone_with_the_photo(perceivers):
    asked = request(PHOTO, perceivers=())
    assert ground(asked, bundle("cats", capabilities=("vision",)), perceivers) is asked


def test_a_request_without_photos_is_left_as_it_is(perceivers):
    asked = request(schema=SCHEMA)
    assert ground(asked, bundle("cats"), perceivers) is asked


def test_photos_of_earlier_turns_are_read_too_but_the_answer_is_about_the_last(perceivers):
    turns = (
        Message.of("user", "What is it?", PHOTO),
        Message.of("assistant", "A cat."),
        Message.of("user", "Sure?"),
    )
    grounded = ground(request(schema=SCHEMA, messages=turns), bundle("cats"), perceivers)
    assert [message.text for message in grounded.messages] == [
        "photo: cat (left)\nWhat is it?",
        "A cat.",
        "Sure?",
    ]
    assert constants(grounded)["tags"] == ["cat", "tabby"]


def test_words_of_what_was_not_found_are_to_be_avoided(perceivers):
    assert ground(request(PHOTO), bundle("blind"), perceivers).avoid == ("cat", "cats", "cup", "desk", "mugs", "table")
    assert ground(request(PHOTO), bundle("cats"), perceivers).avoid == ("cup", "desk", "mugs", "table")
    assert ground(request(PHOTO), bundle("cats", "cups"), perceivers).avoid == ("desk", "table")
    assert ground(request(), bundle("cats"), perceivers).avoid == ()


def test_words_of_the_question_may_be_answered_with(perceivers):
    question = Message.of("user", "Do two mugs stand on the dining table?", PHOTO)
    assert ground(request(messages=(question,)), bundle("cats"), perceivers).avoid == ()


def test_a_model_that_sees_may_say_what_it_sees(perceivers):
    assert ground(request(PHOTO), bundle("cats", capabilities=("completion", "vision")), perceivers).avoid == ()
