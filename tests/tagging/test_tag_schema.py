"""A schema is held to the terms of a vocabulary where it has tags."""

import json

import pytest

from olpipe.guidance.schema import check_schema
from olpipe.tagging.schema import fitting, has_tags, held_to

TEXT = {"type": "string", "maxLength": 6}
TAGS = {"type": "array", "maxItems": 3, "items": TEXT}


def schema(**properties):
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"tags": TAGS}, True),
        ({"tags": {"type": ["array", "null"], "items": {"enum": ["a", "b"]}}}, True),
        ({"tags": {"type": "array", "items": {"type": "integer"}}}, False),
        ({"tags": {"type": "array", "items": {"enum": ["a", 1]}}}, False),
        ({"tags": {"type": "array"}}, False),
        ({"tags": TEXT}, False),
        ({"tags": True}, False),
        ({"labels": TAGS}, False),
    ],
)
def test_a_schema_has_tags_where_it_has_an_array_of_texts_of_that_name(properties, expected):
    assert has_tags(schema(**properties)) is expected


def test_a_schema_has_no_tags_where_it_names_nothing():
    assert not has_tags({"type": "object"})


def test_the_tags_of_a_record_and_of_its_objects_are_held_to_the_names():
    things = {"type": "array", "items": {"type": "object", "properties": {"type": TEXT, "tags": TAGS}}}
    given = schema(tags=TAGS, title=TEXT, objects=things)
    before = json.dumps(given)
    held = held_to(given, ["a", "b"])
    names = {"type": "array", "maxItems": 3, "items": {"enum": ["a", "b"]}}
    assert held["properties"]["tags"] == names
    assert held["properties"]["objects"]["items"]["properties"] == {"type": TEXT, "tags": names}
    assert (held["properties"]["title"], list(held["properties"])) == (TEXT, ["tags", "title", "objects"])
    assert json.dumps(given) == before
    check_schema(json.dumps(held))


def test_names_that_the_schema_refuses_do_not_fit():
    assert fitting(schema(tags=TAGS), ["a", "toolong", "b"]) == ["a", "b"]
    referred = {
        **schema(tags={"type": "array", "items": {"type": "string", "$ref": "#/$defs/t"}}),
        "$defs": {"t": TEXT},
    }
    assert fitting(referred, ["a", "toolong"]) == ["a"]
