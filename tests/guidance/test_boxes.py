"""Schemas that ask for boxes are rewritten for a model: in its own dialect, or without boxes where it has none."""

import json
import tomllib
from pathlib import Path

import llguidance
import pytest

from olpipe.errors import SchemaError
from olpipe.generation import Guidance
from olpipe.guidance.boxes import Boxless, spoken
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.schema import valid_schema
from olpipe.guidance.wire import wire_schema
from olpipe.image import BoxDialect

ROOT = Path(__file__).parents[2]
PHOTO = tomllib.loads((ROOT / "pipelines" / "photo-tags.toml").read_text(encoding="utf-8"))["schema"]

THOUSANDTHS = BoxDialect("bbox_2d", "xyxy", "thousandths")
PIXELS = BoxDialect("bbox_2d", "xyxy", "pixels")
DOWN_FIRST = BoxDialect("box_2d", "yxyx", "thousandths")

WHOLE, TEXT = {"type": "integer"}, {"type": "string"}
SIDES = {"x": WHOLE, "y": WHOLE, "w": WHOLE, "h": WHOLE}
NAMED = {"type": "object", "properties": {"type": TEXT, **SIDES}, "required": ["type", "x", "y", "w", "h"]}
NUMBERS = {"type": "array", "items": WHOLE | {"minimum": 0, "maximum": 1000}, "minItems": 4, "maxItems": 4}
SAID = {"type": "object", "properties": {"bbox_2d": NUMBERS, "label": TEXT}, "required": ["bbox_2d", "label"]}


def a(properties, **more):
    return {"type": "object", "properties": properties, **more}


def listed(items, **more):
    return {"type": "array", "items": items, **more}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (NAMED, SAID),
        (listed(NAMED, minItems=1, maxItems=9), listed(SAID, minItems=1, maxItems=9)),
        (a({"a": TEXT, "b": listed(NAMED)}), a({"a": TEXT, "b": listed(SAID)})),
        ({"$ref": "#/$defs/T", "$defs": {"T": NAMED}}, {"$ref": "#/$defs/T", "$defs": {"T": SAID}}),
        ({"anyOf": [NAMED, {"type": "null"}]}, {"anyOf": [SAID, {"type": "null"}]}),
        ({"type": "array", "prefixItems": [NAMED, TEXT]}, {"type": "array", "prefixItems": [SAID, TEXT]}),
        (a(SIDES), a({"bbox_2d": NUMBERS})),
        (
            a({"note": TEXT, **SIDES, "type": TEXT, "sure": {"type": "boolean"}}, required=["sure", "w", "note"]),
            a(
                {"bbox_2d": NUMBERS, "label": TEXT, "note": TEXT, "sure": {"type": "boolean"}},
                required=["bbox_2d", "note", "sure"],
            ),
        ),
        (a({**SIDES, "type": TEXT}, required=["type"]), a({"bbox_2d": NUMBERS, "label": TEXT}, required=["label"])),
        (a({**SIDES, "part": NAMED}), a({"bbox_2d": NUMBERS, "part": SAID})),
        (a({**SIDES, "type": TEXT, "label": TEXT}), a({"bbox_2d": NUMBERS, "type": TEXT, "label": TEXT})),
        (a(SIDES, minProperties=4, maxProperties=4), a({"bbox_2d": NUMBERS})),
    ],
)
def test_an_object_with_a_box_is_said_as_the_model_was_trained_to_say_it(schema, expected):
    said = spoken(schema, THOUSANDTHS)
    assert said == expected
    valid_schema(json.dumps(said))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        a({"x": WHOLE, "y": WHOLE, "w": WHOLE}),
        a({**SIDES, "h": {"type": "number"}}),
        a({**SIDES, "bbox_2d": TEXT}),
        a({"properties": a({"x": WHOLE})}),
        {"const": NAMED},
        {"enum": [NAMED]},
    ],
)
def test_what_is_no_box_stays_as_it_is(schema):
    assert spoken(schema, THOUSANDTHS) == schema


def test_the_properties_come_in_the_order_in_which_the_model_says_them():
    assert list(spoken(NAMED, THOUSANDTHS)["properties"]) == ["bbox_2d", "label"]
    said = spoken(PHOTO, DOWN_FIRST)
    assert list(said["properties"]) == list(PHOTO["properties"])
    assert list(said["properties"]["objects"]["items"]["properties"]) == ["box_2d", "label", "tags"]


def test_numbers_that_are_pixels_may_be_as_large_as_any_image_that_a_model_sees():
    assert spoken(a(SIDES), PIXELS)["properties"]["bbox_2d"]["items"]["maximum"] == 16384


@pytest.fixture(scope="module")
def grammars():
    return Grammars(llguidance.LLTokenizer("byte"))


def accepts(grammars, schema, value):
    matcher = grammars.matcher(Guidance("json_schema", json.dumps(schema)))
    data = list(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


def photo(*objects):
    return {"tags": ["cat"], "title": "A cat", "description": "A cat sits.", "alt": "A cat", "objects": list(objects)}


def test_the_grammar_of_the_shipped_recipe_takes_the_dialect_and_nothing_else(grammars):
    said = spoken(PHOTO, THOUSANDTHS)
    cat = {"bbox_2d": [0, 7, 1000, 42], "label": "cat", "tags": []}
    assert accepts(grammars, said, photo(cat, cat))
    assert accepts(grammars, said, photo())
    for wrong in (
        cat | {"bbox_2d": [0, 0, 1001, 1]},
        cat | {"bbox_2d": [0, 0, 1]},
        cat | {"bbox_2d": [0, 0, 1, 1, 1]},
        cat | {"bbox_2d": [0.5, 0, 1, 1]},
        {"label": "cat", "bbox_2d": [0, 0, 1, 1], "tags": []},
        {"x": 0, "y": 0, "w": 1, "h": 1, "type": "cat", "tags": []},
    ):
        assert not accepts(grammars, said, photo(wrong))


def test_the_grammar_of_the_shipped_recipe_without_boxes_has_no_objects(grammars):
    left = Boxless(PHOTO).schema
    sentences = {name: value for name, value in photo().items() if name != "objects"}
    assert accepts(grammars, left, sentences)
    assert not accepts(grammars, left, photo())
    assert list(left["properties"]) == ["tags", "title", "description", "alt"]
    assert left["required"] == ["tags", "title", "description", "alt"]


TREE = a({"kids": listed({"$ref": "#/$defs/T"})}, **{"$defs": {"T": a({"n": TEXT, "kids": listed({"$ref": "#"})})}})


@pytest.mark.parametrize(
    ("schema", "left", "lost"),
    [
        (a({"t": TEXT, "o": listed(NAMED)}, required=["t", "o"]), a({"t": TEXT}, required=["t"]), ["$.properties.o"]),
        (a({"t": TEXT, "o": NAMED}), a({"t": TEXT}), ["$.properties.o"]),
        (
            a({"o": listed(a({"who": TEXT, "where": NAMED}, required=["who", "where"]))}),
            a({"o": listed(a({"who": TEXT}, required=["who"]))}),
            ["$.properties.o.items[0].properties.where"],
        ),
        (
            a({"o": a({"type": TEXT, **SIDES}, required=["type"])}),
            a({"o": a({"type": TEXT}, required=["type"])}),
            [f"$.properties.o.properties.{side}" for side in "xywh"],
        ),
        (
            a({"o": {"anyOf": [NAMED, {"type": "null"}]}}),
            a({"o": {"anyOf": [{"type": "null"}]}}),
            ["$.properties.o.anyOf"],
        ),
        (a({"t": TEXT, "o": {"anyOf": [NAMED, a(SIDES, required=["x"])]}}), a({"t": TEXT}), ["$.properties.o"]),
        (a({"t": TEXT}, additionalProperties=NAMED), a({"t": TEXT}, additionalProperties=False), None),
        (a({"t": TEXT, "deep": a({"o": NAMED})}), a({"t": TEXT}), None),
        (
            a({"t": TEXT, "o": listed({"$ref": "#/$defs/T"})}, **{"$defs": {"T": NAMED, "U": TEXT}}),
            a({"t": TEXT}, **{"$defs": {"U": TEXT}}),
            ["$.properties.o"],
        ),
        (a({"t": TEXT, "o": {"type": "array", "prefixItems": [NAMED]}}), a({"t": TEXT}), ["$.properties.o"]),
        (a({"t": TEXT, "o": {"allOf": [NAMED, {"title": "o"}]}}), a({"t": TEXT}), ["$.properties.o"]),
        (PHOTO["properties"]["tags"], PHOTO["properties"]["tags"], []),
        (TREE, TREE, []),
        (NAMED, None, []),
        (listed(NAMED), None, []),
        (a({"o": listed(NAMED)}), None, ["$.properties.o"]),
    ],
)
def test_everything_that_needs_a_box_is_left_out(schema, left, lost):
    boxless = Boxless(schema)
    assert boxless.schema == left
    if lost is not None:
        assert list(boxless.lost) == lost
    if left is not None:
        wire_schema(left)


def test_properties_that_are_known_without_the_model_keep_their_boxes():
    schema = a({"seen": listed(NAMED), "told": listed(NAMED), "t": TEXT})
    boxless = Boxless(schema, known=["seen"])
    assert boxless.schema == a({"seen": listed(NAMED), "t": TEXT})
    assert boxless.lost == ("$.properties.told",)


def test_a_reference_to_nothing_is_told():
    with pytest.raises(SchemaError, match="refers to `#/nowhere`"):
        Boxless(a({"o": {"$ref": "#/nowhere"}}))
