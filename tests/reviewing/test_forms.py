"""Which field the page has for each value that a schema describes."""

import pytest

from olpipe.reviewing.forms import form_of, form_of_list, words

TEXT = {"type": "string"}


def one(schema):
    """Return the form of one value that must be there."""
    (form,) = form_of({"type": "object", "required": ["key"], "properties": {"key": schema}})
    assert (form["field"], form["path"], form["label"]) == ("/data/key", ["key"], "Key")
    return form


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (TEXT, "text"),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "number"}, "number"),
        ({"type": ["integer", "number"]}, "number"),
        ({"type": "boolean"}, "choice"),
        ({"type": "null"}, "choice"),
        ({"enum": ["a", 1, None]}, "choice"),
        ({"const": "a"}, "choice"),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, "choice"),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, "choice"),
        ({"type": "array", "items": TEXT}, "lines"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "rows"),
        ({"type": "array", "items": {"type": "array", "items": TEXT}}, "rows"),
        ({"type": "array", "items": {"type": "object", "properties": {"name": TEXT}}}, "rows"),
        ({"anyOf": [{"type": "object", "properties": {"name": TEXT}}, {"type": "null"}]}, "rows"),
        ({"allOf": [{"type": "integer"}]}, "number"),
        ({"type": ["string", "number"]}, "json"),
        ({"anyOf": [TEXT, {"type": "array"}]}, "json"),
        ({"type": "object", "additionalProperties": TEXT}, "json"),
        ({"type": "array", "prefixItems": [TEXT], "items": TEXT}, "json"),
        ({}, "json"),
    ],
)
def test_each_schema_has_a_fitting_field(schema, kind):
    assert one(schema)["kind"] == kind


def test_null_and_what_may_be_left_out_are_told_apart():
    forms = form_of({"required": ["a", "b"], "properties": {"a": {"type": ["string", "null"]}, "b": TEXT, "c": TEXT}})
    told = [(form.get("nullable", False), form.get("optional", False)) for form in forms]
    assert told == [(True, False), (False, False), (False, True)]
    assert one({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]})["options"] == ["a", "b", None]


def test_objects_are_taken_apart_and_named_by_their_path():
    inner = {"type": "object", "required": ["postalCode"], "properties": {"postalCode": TEXT}}
    forms = form_of({"required": ["seller_address"], "properties": {"seller_address": inner, "maker": inner}})
    assert [(form["field"], form["label"], form["kind"]) for form in forms] == [
        ("/data/seller_address/postalCode", "Seller address, postal code", "text"),
        ("/data/maker", "Maker", "rows"),  # it may be missing
    ]
    assert forms[1]["single"] and forms[1]["optional"]


def test_references_are_followed_and_circles_end_as_json():
    schema = {
        "$defs": {"name": {**TEXT, "maxLength": 9}, "tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "required": ["name", "tree"],
        "properties": {"name": {"$ref": "#/$defs/name"}, "tree": {"$ref": "#/$defs/tree"}},
    }
    name, tree = form_of(schema)
    assert (name["kind"], name["note"]) == ("text", "At most 9 characters.")
    depth = 0
    while tree["kind"] == "rows":
        tree, depth = tree["item"], depth + 1
    assert tree["kind"] == "json" and depth > 3


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        ({**TEXT, "minLength": 2, "maxLength": 40}, "2 to 40 characters."),
        ({"type": ["string", "null"], "maxLength": 1}, "At most 1 character. Empty: null."),
        ({**TEXT, "format": "date"}, "A date, such as 2024-05-31."),
        ({"type": ["string", "null"], "pattern": "^a"}, "Empty: null. Pattern: ^a"),
        ({"type": "integer", "minimum": 0, "maximum": 10}, "A whole number from 0 to 10."),
        ({"type": "number", "exclusiveMinimum": 0}, "A number above 0."),
        ({"type": "array", "maxItems": 4, "items": {**TEXT, "maxLength": 9}},
         "One each line, at most 4 lines. In a line: at most 9 characters."),
        ({"type": "array", "maxItems": 8, "items": {"type": "object", "required": ["n"],
          "properties": {"n": {**TEXT, "maxLength": 9}}}}, "At most 8 rows. N: at most 9 characters."),
    ],
)  # fmt: skip
def test_what_fits_is_told(schema, note):
    assert one({**schema, "description": "Help."})["note"] == note
    assert one({**schema, "description": "Help."})["help"] == "Help."


def test_an_answer_that_is_no_object_is_one_field():
    (form,) = form_of({"type": "array", "items": TEXT})
    assert (form["field"], form["path"], form["label"], form["kind"]) == ("/data", [], "Answer", "lines")


def test_the_form_of_objects_has_their_sides_last():
    sides = {side: {"type": "integer"} for side in "xywh"}
    schema = {
        "properties": {"objects": {"type": "array", "items": {"type": "object", "properties": {**sides, "type": TEXT}}}}
    }
    form = form_of_list(schema, ("objects",))
    assert [field["key"] for field in form["item"]["fields"]] == ["type", "x", "y", "w", "h"]
    assert form_of_list({"properties": {"title": TEXT}}, ("objects",)) is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("postalCode", "postal code"),
        ("postal_code", "postal code"),
        ("SKU", "SKU"),
        (2, "row 3"),
        ("価格", "価格"),
        ("_", "_"),
    ],
)
def test_keys_are_read_as_words(key, said):
    assert words(key) == said
