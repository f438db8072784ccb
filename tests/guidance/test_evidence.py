"""`x-evidence` in a schema: what each kind needs, and that a wrong use is told when the schema is read."""

import json

import pytest

from olpipe.errors import SchemaError, UsageError
from olpipe.guidance.evidence import evidence_kinds
from olpipe.guidance.schema import check_schema

WHOLE = {name: {"type": "integer"} for name in "xywh"} | {"type": {"type": "string"}, "tags": {"type": "array"}}


def things(properties=None, **changes):
    """Return a schema of objects."""
    item = {"type": "object", "properties": WHOLE if properties is None else properties, **changes}
    return {"type": "array", "items": item}


def schema_with(part, kind, **changes):
    return json.dumps({"properties": {"found": {**part, "x-evidence": kind}}, **changes})


STRINGS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize("kind", ["tags", "texts"])
@pytest.mark.parametrize(
    "part",
    [
        STRINGS,
        {},
        {"type": "array"},
        {"type": ["array", "null"], "items": True},
        {"type": "array", "items": {"enum": ["cat", 7]}, "maxItems": 3},
        {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z ]+$"}},
        {"anyOf": [STRINGS, {"type": "null"}]},
        {"$ref": "#/$defs/names"},
        {"allOf": [{"$ref": "#/$defs/names"}], "uniqueItems": True, "minItems": 2},
    ],
)
def test_an_array_that_may_hold_texts_can_be_filled_with_names_and_words(part, kind):
    source = schema_with(part, kind, **{"$defs": {"names": STRINGS}})
    assert evidence_kinds(check_schema(source)) == {"found": kind}


@pytest.mark.parametrize(
    "part",
    [
        things(),
        things({}),
        things({**WHOLE, "note": {"type": "string"}}),
        things(required=list(WHOLE), additionalProperties=False),
        things({**WHOLE, "type": {"enum": ["cat", "dog"]}, "x": {"type": "number", "minimum": 0}}),
        things({**WHOLE, "tags": {"type": "array", "maxItems": 0}}),
        {"type": "array", "items": {"$ref": "#/$defs/thing"}},
        {"type": "array"},
    ],
)
def test_an_array_that_may_hold_boxes_with_names_can_be_filled_with_objects(part):
    source = schema_with(part, "objects", **{"$defs": {"thing": things()["items"]}})
    assert evidence_kinds(check_schema(source)) == {"found": "objects"}


def told(source):
    with pytest.raises(SchemaError) as caught:
        check_schema(source)
    assert isinstance(caught.value, UsageError)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("kind", ["tags", "texts"])
@pytest.mark.parametrize(
    "part",
    [
        {"type": "string"},
        {"const": "none"},
        {"type": "object"},
        things(),
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": False},
        {"type": "array", "items": {"enum": [1, 2]}},
        {"type": "array", "prefixItems": [{"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/name"},
    ],
)
def test_anything_but_an_array_of_texts_cannot_be_filled_with_names_and_words(part, kind):
    source = schema_with(part, kind, **{"$defs": {"name": {"type": "string"}}})
    assert told(source) == (
        f'`x-evidence = "{kind}"` fills an array of texts, and `$.properties.found` cannot be one',
        'write `type = "array"` and `items = { type = "string" }`, or leave `x-evidence` out',
    )


@pytest.mark.parametrize(
    "part",
    [
        STRINGS,
        {"type": "object", "properties": WHOLE},
        things({name: part for name, part in WHOLE.items() if name != "tags"}, additionalProperties=False),
        things({**WHOLE, "x": {"type": "string"}}),
        things({**WHOLE, "tags": {"type": "string"}}),
        things({**WHOLE, "type": {"type": "integer"}}),
        things({**WHOLE, "colour": {"type": "string"}}, required=["colour"]),
        things(maxProperties=5),
    ],
)
def test_objects_need_an_array_whose_items_take_a_box_a_name_and_tags(part):
    assert told(schema_with(part, "objects")) == (
        '`x-evidence = "objects"` fills an array of objects, and `$.properties.found` cannot be one',
        "its items need room for the whole numbers `x`, `y`, `w` and `h`, the text `type`, the texts `tags`, and for "
        "nothing else",
    )


@pytest.mark.parametrize("kind", ["mood", "", "Tags", None, 7, ["tags"], True])
def test_an_unknown_kind_of_evidence_is_refused(kind):
    assert told(schema_with(STRINGS, kind)) == (
        f"`x-evidence` at `$.properties.found` cannot be `{kind}`",
        "it is one of tags, objects, texts",
    )


MARKED = {**STRINGS, "x-evidence": "tags"}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (MARKED, "$"),
        ({"properties": {"a": {"type": "object", "properties": {"b": MARKED}}}}, "$.properties.a.properties.b"),
        ({"properties": {"a": {"type": "array", "items": MARKED}}}, "$.properties.a.items"),
        ({"properties": {"a": {"anyOf": [{"type": "null"}, MARKED]}}}, "$.properties.a.anyOf[1]"),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": MARKED}}, "$.$defs.a"),
        ({"allOf": [{"properties": {"a": MARKED}}], "properties": {"a": {}}}, "$.allOf[0].properties.a"),
        ({"additionalProperties": MARKED}, "$.additionalProperties"),
        ({"type": "object", "x-own": {"a": [MARKED]}}, "$.x-own.a[0]"),
    ],
)
def test_evidence_fills_properties_of_the_top_level_and_no_others(schema, path):
    assert told(json.dumps(schema)) == (
        f"`x-evidence` at `{path}` fills nothing: only a property right below `$.properties` can be filled",
        "move it there, or leave it out",
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"x-evidence": {"type": "string"}}},
        {"properties": {"a": {"const": {"x-evidence": "tags"}}}},
        {"properties": {"a": {"enum": [{"x-evidence": "tags"}, 1]}}},
        {"properties": {"a": {"default": {"x-evidence": "tags"}, "examples": [{"x-evidence": 1}], "type": "null"}}},
    ],
)
def test_a_value_or_a_property_of_that_name_is_no_mark(schema):
    assert evidence_kinds(check_schema(json.dumps(schema))) == {}
