from __future__ import annotations

import json

import jsonschema
import pytest

from olpipe.errors import SchemaError
from olpipe.guidance.schema import check_schema, property_order, read_schema, wire_schema


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{", "the schema is not JSON"),
        ("[1]", "the schema is not a JSON object"),
        ('{"properties":{"a":{"type":"strin"}}}', r"the schema is not valid at `\$\.properties\.a\.type`"),
        ('{"properties":{"a":{"maxLength":-1}}}', "the schema is not valid at `"),
    ],
)
def test_a_bad_schema_is_refused_with_its_place(source, message):
    with pytest.raises(SchemaError, match=message):
        check_schema(source)


def test_what_is_open_gets_a_bound_and_what_is_bounded_keeps_its_own():
    wire = wire_schema(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
                "c": {"type": "string", "minLength": 5000},
                "d": {"type": ["integer", "null"], "minimum": 0},
            },
        }
    )
    assert wire["properties"]["a"]["maxLength"] == 2000
    assert wire["properties"]["b"]["maxItems"] == 3
    assert wire["properties"]["b"]["items"] == {"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1}
    assert wire["properties"]["c"]["maxLength"] == 5000
    assert "maximum" not in wire["properties"]["d"]
    assert wire["additionalProperties"] is False


def test_annotations_go_but_properties_of_the_same_name_stay():
    wire = wire_schema(
        {
            "title": "Photo",
            "x-evidence": "tags",
            "properties": {"title": {"type": "boolean", "description": "x", "x-evidence": "tags"}},
        }
    )
    assert wire == {"properties": {"title": {"type": "boolean"}}}


def test_parts_that_combine_are_not_closed_against_each_other():
    part = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    wire = wire_schema({"allOf": [part, {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]}]})
    assert all("additionalProperties" not in each for each in wire["allOf"])


def test_an_object_that_requires_what_it_does_not_name_stays_open():
    wire = wire_schema({"type": "object", "properties": {"a": {}}, "required": ["a", "b"]})
    assert "additionalProperties" not in wire


def test_the_value_of_a_constant_is_not_touched():
    constant = {"type": "string", "title": "kept", "x-evidence": 1}
    assert wire_schema({"const": constant, "title": "gone"}) == {"const": constant}


def test_known_properties_are_left_out():
    schema = read_schema('{"type":"object","properties":{"b":{},"a":{},"c":{}},"required":["b","c"]}')
    wire = wire_schema(schema, without=("b",))
    assert list(wire["properties"]) == ["a", "c"]
    assert wire["required"] == ["c"]
    assert property_order(schema) == ("b", "a", "c")


def test_a_bottomless_schema_is_refused():
    schema = {"type": "null"}
    for _ in range(80):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SchemaError, match="nests deeper than 64 levels"):
        wire_schema(schema)


@pytest.mark.parametrize("value", [{"a": "x"}, {"a": "x", "b": [1]}])
def test_the_wire_schema_accepts_a_part_of_what_was_given(value):
    schema = json.loads(
        '{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","uniqueItems":true}},"required":["a"]}'
    )
    jsonschema.validate(value, wire_schema(schema))
    jsonschema.validate(value, schema)
