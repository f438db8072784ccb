from __future__ import annotations

import json

import pytest

from olpipe.errors import SchemaError
from olpipe.guidance.judge import judge
from olpipe.guidance.keywords import optional_properties
from olpipe.guidance.schema import check_schema, property_order, read_schema
from olpipe.guidance.wire import wire_schema


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


@pytest.mark.parametrize(
    ("source", "reason", "hint"),
    [
        ("", "it is empty", None),
        ("type: object\nproperties:\n  a: {}\n", "it looks like YAML", "write it as JSON"),
        ("---\n# photos\ntype: object\n", "it looks like YAML", "write it as JSON"),
        (
            '{"type": "object"} // photos',
            "line 1 has a comment",
            "leave comments out, or write them as `$comment`",
        ),
        (
            '{\n/* photos */ "type": "object"}',
            "line 2 has a comment",
            "leave comments out, or write them as `$comment`",
        ),
        (
            '{"title": "http://x",\n"type": "object",\n}',
            "a comma on line 2 stands before a closing bracket",
            "leave that comma out",
        ),
        ('{"enum": [",]", "//"', "unexpected end of data: line 1 column 21 (char 20)", None),
    ],
)
def test_a_text_that_is_not_json_is_told_by_what_it_is(source, reason, hint):
    with pytest.raises(SchemaError) as caught:
        check_schema(source)
    assert (caught.value.message, caught.value.hint) == (f"the schema is not JSON: {reason}", hint)


def test_a_byte_order_mark_is_passed_over():
    assert check_schema('\ufeff{"type": "null"}') == {"type": "null"}


NOT_A_KEYWORD = "is not a keyword of JSON Schema"
OWN = "Words of your own begin with `x-`"


@pytest.mark.parametrize(
    ("schema", "message", "hint"),
    [
        (
            {"requierd": ["a"], "type": "object"},
            f"`requierd` at `$` {NOT_A_KEYWORD}",
            f"did you mean `required`? {OWN}",
        ),
        ({"propertys": {"a": {}}}, f"`propertys` at `$` {NOT_A_KEYWORD}", f"did you mean `properties`? {OWN}"),
        ({"tpye": "string"}, f"`tpye` at `$` {NOT_A_KEYWORD}", f"did you mean `type`? {OWN}"),
        (
            {"properties": {"a": {"items": {"maxlength": 3}}}},
            f"`maxlength` at `$.properties.a.items` {NOT_A_KEYWORD}",
            f"did you mean `maxLength`? {OWN}",
        ),
        (
            {"anyOf": [{"type": "null"}, {"minimun": 1}]},
            f"`minimun` at `$.anyOf[1]` {NOT_A_KEYWORD}",
            f"did you mean `minimum`? {OWN}",
        ),
        (
            {"type": "object", "caption": {"type": "string"}},
            f"`caption` at `$` {NOT_A_KEYWORD}",
            "put it under `$.properties`",
        ),
        (
            {"caption": "A cat", "people": 2},
            "the schema has no keyword of JSON Schema in it, only `caption`, `people`",
            'describe the answer: `{"type": "object", "properties": {"…": {"type": "string"}}}`',
        ),
        (
            {"name": "photo", "strict": True, "schema": {"type": "object"}},
            "the JSON is not a schema, but has one in it",
            "give only what stands at `$.schema`",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "photo", "schema": {"type": "object"}}},
            "the JSON is not a schema, but has one in it",
            "give only what stands at `$.json_schema.schema`",
        ),
    ],
)
def test_what_is_nearly_a_schema_is_refused_with_what_was_meant(schema, message, hint):
    with pytest.raises(SchemaError) as caught:
        check_schema(json.dumps(schema))
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"title": "Anything"},
        {"type": "object", "x-requierd": 1, "example": {"tpye": 1}, "propertyOrdering": ["a"], "nullable": True},
        {"type": "object", "properties": {"requierd": {"const": 1}, "schema": {"type": "string"}}},
        {"enum": [{"tpye": "a"}], "default": {"tpye": "a"}},
        {"$defs": {"tpye": {"type": "null"}}, "$ref": "#/$defs/tpye"},
    ],
)
def test_annotations_and_names_are_not_taken_for_misspelt_keywords(schema):
    assert check_schema(json.dumps(schema)) == schema


def test_the_properties_that_a_model_may_leave_out_are_found():
    box = {"type": "object", "properties": {"w": {}, "h": {}}, "required": ["w"]}
    schema = {
        "type": "object",
        "properties": {
            "caption": {"type": "string"},
            "people": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}, "x-evidence": "tags"},
            "boxes": {"type": "array", "items": box},
            "never": False,
        },
        "required": ["caption", "boxes"],
    }
    assert optional_properties(schema) == ["people", "boxes.h"]
    assert optional_properties({"type": "array", "items": schema}) == ["people", "boxes.h"]


def test_the_order_of_properties_is_kept():
    schema = read_schema('{"type":"object","properties":{"b":{},"a":{},"c":{}},"required":["b","c"]}')
    assert property_order(schema) == ("b", "a", "c")


def nested(levels):
    schema = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (nested(80), "the schema nests deeper than 64 levels"),
        ({"enum": ["x" * 100] * 20_000}, "the schema has 2,080,010 characters, more than 1,048,576"),
        ({"enum": list(range(100_000))}, r"`\$` lists more than 10000 values"),
        ({"properties": {f"p{number}": {} for number in range(10_000)}}, "the schema has more than 5,000 parts"),
        ({"properties": {f"p{number}": True for number in range(3_000)}}, r"`\$` has more than 2000 properties"),
        ({"allOf": [{"anyOf": [{"minLength": n}, {"minItems": n}]} for n in range(20)]}, "more than 256 alternatives"),
        ({"type": "string", "minLength": 10**6}, r"`\$` has a `minLength` above 20,000"),
        ({"type": "array", "minItems": 10**6}, r"`\$` has a `minItems` above 20,000"),
    ],
    ids=["deep", "long", "values", "parts", "properties", "alternatives", "text", "items"],
)
def test_a_schema_beyond_the_limits_is_refused(schema, message):
    with pytest.raises(SchemaError, match=message):
        check_schema(json.dumps(schema))


@pytest.mark.parametrize(
    ("draft", "schema", "document"),
    [
        ("http://json-schema.org/draft-04/schema#", {"minimum": 3, "exclusiveMinimum": True, "type": "integer"}, 4),
        ("http://json-schema.org/draft-07/schema#", {"type": "array", "items": [{"const": 1}], "minItems": 1}, [1]),
        ("https://json-schema.org/draft/2019-09/schema", {"$recursiveAnchor": True, "type": "null"}, None),
    ],
)
def test_older_drafts_are_understood(draft, schema, document):
    checked = check_schema(json.dumps({"$schema": draft, **schema}))
    assert judge(checked).is_valid(document)
    assert judge(wire_schema(checked)).is_valid(document)


def test_a_draft_that_is_too_old_is_refused():
    with pytest.raises(SchemaError, match=r"the schema is written in `http://json-schema\.org/draft-03/schema`"):
        check_schema('{"$schema":"http://json-schema.org/draft-03/schema#"}')
