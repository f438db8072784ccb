"""Wire schemas allow a part of what was given: what is in them, what is refused, and what nothing satisfies."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import jsonschema
import llguidance
import pytest

from olpipe.errors import SchemaError
from olpipe.generation import Guidance
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.validate import validate
from olpipe.guidance.wire import wire_schema
from olpipe.testing.schemas import draw

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.json"))
TREE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}}


@pytest.fixture(scope="module")
def grammars():
    return Grammars(llguidance.LLTokenizer("byte"))


def accepts(grammars, schema, value):
    matcher = grammars.matcher(Guidance("json_schema", json.dumps(schema)))
    data = list(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


# (schema, a document of it that the grammar allows, one that it does not)
KEYWORDS = [
    ({"type": "string"}, "a" * 2000, "a" * 2001),
    ({"type": "array", "items": {"const": 1}}, [1] * 64, [1] * 65),
    ({"type": "object", "properties": {"b": {"const": 1}, "a": {"const": 2}}}, {"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ({"type": "object", "properties": {"a": {"const": 1}}}, {"a": 1}, {"a": 1, "b": 2}),
    ({"type": "object", "properties": {"a": {"const": 1}}, "required": ["b"]}, {"b": None}, {"a": 1}),
    ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "minProperties": 1}, {"a": 1}, {}),
    ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
    ({"type": "object", "additionalProperties": {"const": 1}, "minProperties": 1}, {"x": 1}, {}),
    ({"type": "object", "patternProperties": {"^a": {"const": 1}}, "additionalProperties": False}, {"ab": 1}, {"b": 1}),
    ({"type": "object", "propertyNames": {"enum": ["p"]}, "additionalProperties": {"const": 1}}, {"p": 1}, {"q": 1}),
    ({"type": "object", "propertyNames": {"maxLength": 1}, "additionalProperties": {"const": 1}}, {"p": 1}, {"pq": 1}),
    ({"dependentRequired": {"a": ["b"]}, "properties": {"a": {}, "b": {}}}, {"a": None, "b": None}, {"a": None}),
    ({"dependentSchemas": {"a": {"required": ["b"]}}, "properties": {"a": {}, "b": {}}}, {"b": None}, {"a": None}),
    ({"allOf": [{"type": "string", "minLength": 2}, {"maxLength": 3}]}, "ab", "a"),
    ({"allOf": [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"const": 2}}}]}, {"a": 2}, {"a": 1}),
    ({"anyOf": [{"const": "x"}, {"type": "null"}]}, None, "y"),
    ({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 5}]}, 6, 3),
    (
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
        {"a": 1},
        {"a": 1, "b": 1},
    ),
    ({"not": {"type": ["object", "array", "string"]}}, 1, "x"),
    ({"type": "string", "not": {"enum": ["a", "b"]}}, "c", "a"),
    ({"type": "integer", "not": {"minimum": 5}}, 4, 5),
    ({"type": "object", "not": {"required": ["a"]}, "properties": {"a": {}, "b": {}}}, {"b": 1}, {"a": 1}),
    ({"if": {"type": "string"}, "then": {"maxLength": 1}, "else": {"const": 7}}, 7, 8),
    ({"type": "array", "contains": {"const": 9}, "items": {"type": "integer"}}, [9, 1], [1, 1]),
    ({"type": "array", "contains": {"const": 9}, "minContains": 2, "maxContains": 2}, [9, 9], [9, 9, 9]),
    ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 1}, [1, 2], [2]),
    ({"type": "array", "uniqueItems": True, "minItems": 2, "items": {"enum": ["a", "b"]}}, ["a", "b"], ["a", "a"]),
    ({"type": "array", "uniqueItems": True, "items": {"type": "boolean"}}, [True, False], [True, False, True]),
    ({"type": ["integer", "null"], "multipleOf": 5, "minimum": 1}, 10, 7),
    ({"const": {"type": "string", "title": "kept"}}, {"type": "string", "title": "kept"}, {"type": "string"}),
    ({"enum": [1, "a", None], "type": ["string", "null"]}, "a", 1),
    ({"$defs": {"a": {"const": 1}}, "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}, {"x": 1}, {"x": 2}),
    ({"$defs": {"a": {"$anchor": "here", "const": 1}}, "$ref": "#here"}, 1, 2),
    ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False, "type": "object"}, {"a": 1}, {"b": 1}),
    ({"properties": {"a": {}, "b": {}}, "minProperties": 2, "not": {"required": ["a"]}}, {"b": 1, "c": 1}, {"b": 1}),
    (TREE, {"kids": [{"kids": []}]}, {"kids": [1]}),
    ({"title": "t", "x-evidence": "tags", "properties": {"title": {"type": "boolean"}}}, {"title": True}, {"title": 1}),
]


@pytest.mark.parametrize(("schema", "inside", "outside"), KEYWORDS)
def test_the_grammar_allows_what_it_should_and_refuses_the_rest(grammars, schema, inside, outside):
    assert jsonschema.Draft202012Validator(schema).is_valid(inside)
    assert accepts(grammars, schema, inside)
    assert not accepts(grammars, schema, outside)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 4}, r"no value satisfies `\$`"),
        ({"properties": {"a": False}, "required": ["a"], "type": "object"}, r"`a` is required and not allowed at `\$`"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, r"no type is left at `\$\.allOf\[1\]`"),
        ({"enum": ["a"], "minLength": 2}, r"no value satisfies `\$`"),
        ({"type": "string", "pattern": "^a$", "minLength": 2}, r"no value satisfies `\$`"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            r"`\$` needs itself without end",
        ),
        ({"type": "array", "items": {"enum": []}, "minItems": 1}, r"no value satisfies `\$\.items`"),
        ({"not": {}}, r"`\$\.not` allows nothing"),
        (
            {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"type": "boolean"}},
            r"`\$` asks for more items",
        ),
        ({"properties": {"a": {}}, "type": "object", "minProperties": 2, "additionalProperties": False}, r"`\$` asks"),
        (
            {"type": "object", "properties": {"a": {}}, "required": ["b"], "additionalProperties": False},
            r"`b` is required at `\$`, but `\$\.additionalProperties` allows nothing",
        ),
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused_with_the_reason(schema, message):
    with pytest.raises(SchemaError, match=f"no document satisfies the schema: {message}"):
        wire_schema(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"properties": {"a": {"not": {"pattern": "x"}}}},
            r"`\$\.properties\.a\.not` cannot be enforced: .*`pattern`",
        ),
        (
            {"items": {"$ref": "https://example.org/s"}, "type": "array"},
            r"`\$\.items\.\$ref` refers to `https://example",
        ),
        (
            {"type": "object", "propertyNames": {"pattern": "^a", "maxLength": 5}, "minProperties": 1},
            r"^`\$\.propertyNames` cannot be enforced: it says several things about names$",
        ),
        ({"$ref": "#"}, r"`\$` refers to itself and says nothing else"),
        ({"type": "array", "not": {"const": [1]}}, r"`\$` excludes an array by its value"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_path(schema, message):
    with pytest.raises(SchemaError, match=message):
        wire_schema(schema)


@pytest.mark.parametrize(
    ("bounds", "limit"),
    [
        ({"type": "integer", "minimum": 1e20, "maximum": 1e22}, 9007199254740991),
        ({"type": "integer", "minimum": 12345678901234567890}, 9007199254740991),
        ({"type": "integer", "maximum": -(10**17)}, 9007199254740991),
        ({"type": "number", "exclusiveMinimum": 1e16}, 1000000000000000),
        ({"type": ["number", "integer"], "multipleOf": 0.5, "minimum": 1e15}, 500000000000000),
    ],
)
def test_numbers_beyond_a_limit_are_not_called_impossible(bounds, limit):
    schema = {"type": "object", "properties": {"n": bounds}, "required": ["n"]}
    with pytest.raises(SchemaError) as caught:
        wire_schema(schema)
    assert (
        caught.value.message == f"`$.properties.n` allows only numbers beyond {limit}, which olpipe does not generate"
    )
    assert caught.value.hint == "ask for a string with a `pattern`, because many programs round such numbers"


def test_a_required_name_that_is_nearly_a_property_is_offered():
    schema = {"type": "object", "properties": {"caption": {}}, "required": ["captoin"], "additionalProperties": False}
    with pytest.raises(SchemaError) as caught:
        wire_schema(schema)
    assert caught.value.hint == "did you mean `caption`?"


def test_an_optional_part_that_nothing_satisfies_is_left_out(grammars):
    schema = {"type": "object", "properties": {"a": {"enum": []}, "b": {"const": 1}}}
    assert list(wire_schema(schema)["properties"]) == ["b"]


def test_a_recursive_schema_is_bounded_and_refers_to_itself_in_the_wire_schema(grammars):
    value = {}
    for _ in range(40):
        value = {"kids": [value]}
    assert not accepts(grammars, TREE, value)
    assert accepts(grammars, TREE, {"kids": [{"kids": [{"kids": []}]}, {}]})


def chain(length):
    """Each definition names the one before it twice: written out, it would double at each step."""
    parts = {"d0": {"const": 0}}
    for number in range(1, length):
        reference = {"$ref": f"#/$defs/d{number - 1}"}
        parts[f"d{number}"] = {"type": "object", "properties": {"a": reference, "b": reference}}
    return {"$defs": parts, "$ref": f"#/$defs/d{length - 1}"}


def circle(size):
    """Each definition names every other one."""
    properties = {f"p{number}": {"$ref": f"#/$defs/d{number}"} for number in range(size)}
    parts = {f"d{number}": {"type": "object", "properties": properties} for number in range(size)}
    return {"$defs": parts, "$ref": "#/$defs/d0"}


def conditions(length):
    schema = {"const": 0}
    for number in range(1, length):
        schema = {"if": {"const": number}, "then": {"const": number}, "else": schema}
    return schema


@pytest.mark.parametrize("schema", [chain(60), circle(15), conditions(30)], ids=["chain", "circle", "conditions"])
def test_what_would_explode_when_written_out_stays_small(grammars, schema):
    assert len(json.dumps(wire_schema(schema))) < 400_000
    grammars.matcher(Guidance("json_schema", json.dumps(schema)))


def test_a_circle_too_large_for_the_limits_is_refused():
    with pytest.raises(SchemaError, match="the schema comes to more than 8000 parts"):
        wire_schema(circle(70))


def test_many_dependencies_are_satisfied_all_at_once(grammars):
    names = {f"a{number}": {"const": 1} for number in range(10)} | {"b": {"const": 2}}
    schema = {"type": "object", "properties": names, "dependentRequired": {f"a{number}": ["b"] for number in range(10)}}
    assert accepts(grammars, schema, {"a3": 1, "b": 2})
    assert accepts(grammars, schema, {})
    assert not accepts(grammars, schema, {"a3": 1})


def test_known_properties_are_left_out():
    schema = {"type": "object", "properties": {"b": {}, "a": {}, "c": {}}, "required": ["b", "c"]}
    wire = wire_schema(schema, without=("b",))
    assert list(wire["properties"]) == ["a", "c"]
    assert wire["required"] == ["c"]


COUNTED = {"type": "object", "properties": {"b": {"const": 1}, "a": {"const": 2}}, "maxProperties": 1}
OPEN = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": {"const": 1},
    "minProperties": 2,
    "maxProperties": 2,
}
EITHER = {
    "type": "object",
    "properties": {"a": {}, "b": {"const": 1}, "c": {"const": 1}},
    "oneOf": [{"required": ["a", "b"]}, {"required": ["c"], "properties": {"a": False}}],
    "unevaluatedProperties": False,
}


# (schema, a document without the known value of `a`, one that is not allowed)
@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        (OPEN, {"x": 1}, {"x": 1, "y": 1}),
        (OPEN, {"x": 1}, {}),
        (OPEN, {"x": 1}, {"a": 1}),
        (COUNTED, {}, {"b": 1}),
        (COUNTED | {"maxProperties": 2}, {"b": 1}, {"b": 1, "a": 2}),
        (COUNTED | {"maxProperties": 2, "minProperties": 2}, {"b": 1}, {}),
        ({"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}, "type": "object"}, {"b": 1}, {}),
        (EITHER, {"b": 1}, {"c": 1}),
    ],
)
def test_known_properties_count_and_cannot_be_written_again(grammars, schema, inside, outside):
    guidance = Guidance("json_schema", json.dumps(schema), constants=(("a", "2"),))

    def fits(value):
        data = list(json.dumps(value, separators=(",", ":")).encode())
        matcher = grammars.matcher(guidance)
        return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()

    jsonschema.Draft202012Validator(schema).validate(inside | {"a": 2})
    assert fits(inside)
    assert not fits(outside)


def test_known_properties_that_the_schema_has_no_room_for_are_refused():
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], "maxProperties": 1}
    with pytest.raises(SchemaError, match=r"^the schema has no room for `a` together with what it requires$"):
        wire_schema(schema, without=["a"])


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {}}, {"properties": {}, "title": "Empty"}])
def test_an_object_that_is_given_without_properties_has_none(grammars, schema):
    assert accepts(grammars, schema, {})
    assert not accepts(grammars, schema, {"a": 1})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {}, "minProperties": 1},
        {"type": "object", "properties": {}, "patternProperties": {"^a": {}}},
    ],
)
def test_names_are_made_up_where_the_schema_asks_for_them_but_no_empty_name(grammars, schema):
    assert accepts(grammars, schema, {"a": 1})
    assert not accepts(grammars, schema, {"": 1})


def test_an_empty_name_that_the_schema_gives_is_kept(grammars):
    schema = {"type": "object", "properties": {"": {"const": 1}}, "additionalProperties": {}, "minProperties": 2}
    assert accepts(grammars, schema, {"": 1, "a": 1})


@pytest.mark.parametrize(
    ("expression", "least", "possible"),
    [("^[abc]$", 3, True), ("^[abc]$", 4, False), ("^(aa?|b)$", 3, True), ("^(aa?|b)$", 4, False), ("^a", 50, True)],
)
def test_a_map_cannot_ask_for_more_names_than_its_pattern_allows(expression, least, possible):
    schema = {"type": "object", "patternProperties": {expression: {}}, "minProperties": least}
    if possible:
        assert wire_schema(schema)["minProperties"] == least
        return
    with pytest.raises(SchemaError, match="no document satisfies the schema"):
        wire_schema(schema)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_real_schemas_compile_and_refuse_what_is_wrong(grammars, path):
    case = json.loads(path.read_text(encoding="utf-8"))
    judge = jsonschema.validators.validator_for(case["schema"], default=jsonschema.Draft202012Validator)(case["schema"])
    for value in case["valid"]:
        assert accepts(grammars, case["schema"], value)
    for value in case["invalid"]:
        if accepts(grammars, case["schema"], value):
            assert not judge.is_valid(value)
            assert judge.is_valid(validate(json.dumps(case["schema"]), json.dumps(value)))


def random_walk(matcher, random):
    """Take random bytes that the grammar allows until the document is whole; None when it takes too long."""
    data = bytearray()
    while not matcher.is_stopped() and len(data) < 2000:
        if matcher.is_accepting() and random.random() < 0.5:
            break
        mask = matcher.compute_bitmask()
        allowed = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
        ends = [byte for byte in allowed if byte in b'"}],']
        byte = random.choice(ends if ends and random.random() < 0.4 else allowed)
        matcher.consume_token(byte)
        data.append(byte)
    return bytes(data) if matcher.is_accepting() or matcher.is_stopped() else None


@pytest.mark.examples(20)
@pytest.mark.parametrize("seed", range(60))
def test_random_documents_of_random_schemas_are_valid(grammars, seed):
    random = Random(seed)
    schema, example = draw(random)
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    assert judge.is_valid(example)
    source = json.dumps(schema)
    for _ in range(3):
        text = random_walk(grammars.matcher(Guidance("json_schema", source)), random)
        if text is not None:
            judge.validate(validate(source, text.decode()))
