"""What an answer gets from evidence that its schema has little or no room for: nothing that was not found."""

import json
import random

import pytest

from olpipe.generation import Guidance
from olpipe.guidance.judge import judge
from olpipe.guidance.schema import check_schema
from olpipe.image import Box
from olpipe.perception.known import with_known_values
from olpipe.record import Detection, Evidence, Label, ReadText

CAT = Evidence(
    (Detection("cat", 0.9, Box(1, 2, 30, 20), ("tabby", "a domestic cat")), Detection("cup", 0.8, Box(1, 2, 3, 4))),
    (Label("cat", 0.9), Label("tabby", 0.8), Label("cup", 0.7)),
    (ReadText("STOP", 0.9),),
)
NO_CAT = {"type": "array", "items": {"enum": ["beach", "forest"]}, "x-evidence": "tags"}


def known(schema):
    """Return the known values, and the schema that the model is held to."""
    source = json.dumps(schema)
    check_schema(source)
    guidance = with_known_values(Guidance("json_schema", source), CAT)
    return {name: json.loads(value) for name, value in guidance.constants}, json.loads(guidance.source)


def tags(**changes):
    return {"type": "object", "properties": {"tags": NO_CAT | changes, "title": {"type": "string"}}}


def test_tags_of_which_the_schema_has_none_are_an_empty_array():
    assert known(tags())[0] == {"tags": []}
    assert known(tags() | {"required": ["tags"]})[0] == {"tags": []}
    assert known({"properties": {"tags": NO_CAT}})[0] == {"tags": []}


def test_a_schema_that_allows_other_values_than_objects_asks_for_an_object_where_something_is_known():
    assert known({"properties": {"tags": NO_CAT}})[1]["type"] == "object"
    assert known(tags() | {"type": ["object", "string"]})[1]["type"] == "object"
    assert known(tags())[1] == tags()


def test_tags_that_may_be_null_are_null_where_they_cannot_be_empty():
    assert known(tags(type=["array", "null"], minItems=1))[0] == {"tags": None}
    empty = {"anyOf": [{"type": "null"}, NO_CAT | {"minItems": 1}], "x-evidence": "tags"}
    del empty["anyOf"][1]["x-evidence"]
    assert known({"type": "object", "properties": {"tags": empty}, "required": ["tags"]})[0] == {"tags": None}


def test_tags_that_need_not_be_there_are_left_out_where_they_cannot_be_empty():
    constants, held_to = known(tags(minItems=1))
    assert constants == {}
    assert not judge(held_to).is_valid({"tags": ["beach"], "title": ""})
    assert judge(held_to).is_valid({"title": ""})
    assert list(held_to["properties"]) == ["tags", "title"]


@pytest.mark.parametrize(
    "changes",
    [
        {"required": ["tags"]},
        {"minProperties": 2},
        {"allOf": [{"required": ["tags"]}]},
        {"required": ["title"], "dependentRequired": {"title": ["tags"]}},
    ],
)
def test_tags_that_the_schema_insists_on_are_left_to_the_model(changes):
    constants, held_to = known(tags(minItems=1) | changes)
    assert constants == {}
    assert judge(held_to).is_valid({"tags": ["beach"], "title": ""})


def test_of_two_properties_one_is_left_out_where_the_schema_insists_on_one():
    schema = {"type": "object", "properties": {"a": NO_CAT | {"minItems": 1}, "b": NO_CAT | {"minItems": 1}}}
    constants, held_to = known(schema | {"minProperties": 1})
    assert constants == {}
    assert held_to["properties"]["a"] is False
    assert judge(held_to).is_valid({"b": ["beach"]})


@pytest.mark.parametrize("kind", ["tags", "texts", "objects"])
def test_every_kind_of_evidence_is_left_out_where_it_does_not_fit(kind):
    part = {"type": "array", "minItems": 9, "x-evidence": kind}
    constants, held_to = known({"type": "object", "properties": {"found": part}})
    assert constants == {}
    assert held_to["properties"]["found"] is False


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        ([{"type": "array", "items": {"maxLength": 4}}, {"type": "null"}], ["cat", "cup"]),
        (
            [{"type": "array", "items": {"enum": ["cup"]}}, {"type": "array", "items": {"enum": ["cat", "tabby"]}}],
            ["cat", "tabby"],
        ),
        ([{"type": "array", "items": {"maxLength": 4}, "maxItems": 1}, {"type": "null"}], ["cat"]),
        ([{"$ref": "#/$defs/short"}, {"type": "null"}], ["cat", "cup"]),
    ],
)
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_one_tag_that_does_not_fit_an_alternative_does_not_take_the_others_with_it(keyword, branches, expected):
    schema = {"type": "object", "properties": {"tags": {keyword: branches, "x-evidence": "tags"}}}
    short = {"type": "array", "items": {"type": "string", "maxLength": 4}}
    assert known(schema | {"$defs": {"short": short}})[0] == {"tags": expected}


@pytest.mark.parametrize("names", [{"items": {"maxLength": 5}}, {"items": {"enum": ["tabby"]}}, {"maxItems": 1}])
@pytest.mark.parametrize("by_reference", [False, True])
def test_finer_names_that_do_not_fit_leave_their_thing_in_place(names, by_reference):
    item = {"type": "object", "properties": {"tags": {"type": "array", **names}}}
    items = {"$ref": "#/$defs/thing"} if by_reference else item
    schema = {"type": "object", "properties": {"things": {"type": "array", "items": items, "x-evidence": "objects"}}}
    things = known(schema | {"$defs": {"thing": item}})[0]["things"]
    assert [(thing["type"], thing["tags"]) for thing in things] == [("cat", ["tabby"]), ("cup", [])]


def test_an_enum_that_evidence_does_not_fill_is_the_models_choice():
    schema = {"type": "object", "properties": {"scene": {"enum": ["beach", "forest", None]}}}
    assert known(schema) == ({}, schema)


def test_known_values_always_fit_their_schema():
    chance = random.Random(4)
    for _ in range(200):
        part = {"type": chance.choice(["array", ["array", "null"]]), "minItems": chance.randrange(4)}
        part["items"] = chance.choice([{"enum": ["cat", "beach"]}, {"maxLength": 3}, {"minLength": 4}, True])
        schema = {"type": "object", "properties": {"found": part | {"x-evidence": "tags"}}}
        constants, held_to = known(schema)
        assert judge(held_to).is_valid(constants)
        assert set(constants.get("found") or ()) <= {label.name for label in CAT.tags}
