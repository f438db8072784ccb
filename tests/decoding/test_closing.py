from __future__ import annotations

import json
import re

import jsonschema
import pytest

from olpipe.decoding.closing import leave_string, shortest_ending


def one(schema):
    return {"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": False}


# (schema of one value, what its shortest texts look like, the tokens of one of them)
ENDINGS = [
    ({"type": "string"}, '""', '""'),
    ({"type": "string", "minLength": 5}, '"[^"\\\\]{5}"', '"11111"'),
    ({"type": "array", "items": {"type": "string"}}, r"\[\]", "[]"),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, r"\[true,true\]", "[true,true]"),
    ({"enum": ["north", "south"]}, '"(north|south)"', '"north"'),
    ({"const": {"a": [1, None]}}, r'\{"a":\[1,null\]\}', '{"a":[1,null]}'),
    ({"type": "string", "format": "date"}, '"....-..-.."', '"1111-11-11"'),
    ({"type": "string", "format": "email"}, '".@.+"', '"1@a.a"'),
    ({"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}, '"[A-Z]{3}-[0-9]{4}"', '"AAA-1111"'),
    ({"type": "string", "pattern": "^(foo|quux)+z$"}, '"fooz"', '"fooz"'),
    (
        {"anyOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]}, {"type": "null"}]},
        "null",
        "null",
    ),
]


@pytest.mark.parametrize(("schema", "shape", "shortest"), ENDINGS)
def test_an_ending_completes_the_document_in_as_few_tokens_as_there_are(tiny, schema, shape, shortest):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    judge = jsonschema.Draft202012Validator(one(schema), format_checker=checker)
    ending = shortest_ending(tiny.constraint(one(schema)), tiny.vocabulary)
    text = tiny.vocabulary.bytes_of(ending).decode()
    judge.validate(json.loads(text))
    judge.validate({"value": json.loads(shortest)})
    assert re.fullmatch(r'\{"value":' + shape + r"\}", text)
    assert len(ending) == len(tiny.vocabulary.encode('{"value":' + shortest + "}"))


def test_the_search_leaves_the_constraint_as_it_was(tiny):
    constraint = tiny.constraint(one({"type": "string"}))
    before = constraint.mask()
    shortest_ending(constraint, tiny.vocabulary)
    assert constraint.mask() == before
    assert not constraint.complete


@pytest.mark.parametrize(
    "beginning", ['{"value":"half a wo', '{"value":"with \\', '{"value":"quote \\"', '{"value":"狗']
)
def test_a_string_that_was_begun_is_ended(tiny, beginning):
    constraint = tiny.constraint(one({"type": "string"}))
    for token in tiny.vocabulary.encode(beginning):
        constraint.consume(token)
    ending = shortest_ending(constraint, tiny.vocabulary)
    document = json.loads(beginning.encode() + tiny.vocabulary.bytes_of(ending))
    assert document["value"].startswith(beginning[len('{"value":"') :].split("\\")[0])


def test_a_torn_character_is_completed_before_the_string_ends(tiny):
    constraint = tiny.constraint(one({"type": "string"}))
    beginning = '{"value":"狗'.encode()[:-1]
    tokens = [token for byte in beginning for token in tiny.vocabulary.tokenizer.tokenize_bytes(bytes([byte]))]
    for token in tokens:
        constraint.consume(token)
    ending = shortest_ending(constraint, tiny.vocabulary)
    document = json.loads((beginning + tiny.vocabulary.bytes_of(ending)).decode("utf-8", errors="strict"))
    assert document["value"].encode().startswith("狗".encode()[:-1])


def test_a_text_that_is_not_json_ends_where_its_expression_allows(tiny):
    ending = shortest_ending(tiny.pattern(r"[0-9a-f]+(-[0-9a-f]{2}){3};"), tiny.vocabulary)
    assert tiny.vocabulary.bytes_of(ending) == b"1-11-11-11;"


def test_a_grammar_with_no_end_within_reach_has_no_ending(tiny):
    constraint = tiny.pattern("[a-z]{3000}")
    assert shortest_ending(constraint, tiny.vocabulary) is None


def test_leaving_a_string_takes_no_more_than_its_end(tiny):
    constraint = tiny.constraint(one({"type": "string"}))
    for token in tiny.vocabulary.encode('{"value":"again and again'):
        constraint.consume(token)
    assert tiny.vocabulary.bytes_of(leave_string(constraint, tiny.vocabulary)).startswith(b'"')
    assert not constraint.in_string
