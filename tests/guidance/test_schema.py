from __future__ import annotations

import json

import pytest

from olpipe.errors import SchemaError
from olpipe.guidance.judge import judge
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
