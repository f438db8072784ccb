from __future__ import annotations

import json

import llguidance
import pytest

from olpipe.errors import SchemaError
from olpipe.generation import Guidance
from olpipe.guidance.grammar import MOST_GRAMMARS, Grammars
from olpipe.testing.models import build_tiny_package


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    package = build_tiny_package(tmp_path_factory.mktemp("tiny") / "package")
    return llguidance.LLTokenizer((package / "tokenizer.json").read_text(), eos_token=2)


def accepts(tokenizer, guidance, text):
    matcher = Grammars(tokenizer).matcher(guidance)
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def schema(value, **more):
    return Guidance("json_schema", json.dumps(value), **more)


def test_documents_are_compact(tokenizer):
    guidance = schema({"type": "array", "items": {"type": "boolean"}})
    assert accepts(tokenizer, guidance, "[true,false]")
    assert not accepts(tokenizer, guidance, "[true, false]")


def test_properties_come_in_the_order_of_the_schema(tokenizer):
    guidance = schema(
        {"properties": {"b": {"type": "null"}, "a": {"type": "null"}}, "required": ["a", "b"], "type": "object"}
    )
    assert accepts(tokenizer, guidance, '{"b":null,"a":null}')
    assert not accepts(tokenizer, guidance, '{"a":null,"b":null}')


def test_known_properties_are_not_generated(tokenizer):
    both = {"properties": {"b": {"type": "null"}, "a": {"type": "null"}}, "required": ["a", "b"], "type": "object"}
    assert accepts(tokenizer, schema(both, constants=(("b", "null"),)), '{"a":null}')


def test_plain_json_is_any_object(tokenizer):
    assert accepts(tokenizer, Guidance("json"), '{"名":[1,{"a":""}]}')
    assert not accepts(tokenizer, Guidance("json"), "[]")


def test_lark_and_regular_expressions_are_compiled(tokenizer):
    assert accepts(tokenizer, Guidance("regex", "a+b"), "aab")
    assert accepts(tokenizer, Guidance("lark", 'start: "a" | "b" start'), "bba")


@pytest.mark.parametrize(
    "guidance",
    [
        schema({"type": "string", "pattern": "^(?!a)"}),
        Guidance("regex", "(unclosed"),
        Guidance("regex", "(" * 500 + "a+" + ")" * 500),
        Guidance("lark", "start: nowhere"),
        Guidance("lark", "start: start"),
        Guidance("lark", "start: " + "(" * 3000 + '"a"' + ")" * 3000),
    ],
)
def test_what_cannot_be_decoded_to_is_refused_in_one_line(tokenizer, guidance):
    with pytest.raises(SchemaError, match="cannot be enforced") as caught:
        Grammars(tokenizer).matcher(guidance)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        (Guidance("regex", "a" * 300_000), "the regex has 300,000 characters, more than 20,000"),
        (Guidance("lark", "start: " + "a" * 100_000), "the lark has 100,007 characters, more than 100,000"),
    ],
    ids=["regex", "lark"],
)
def test_guidance_that_is_too_long_is_refused(tokenizer, guidance, message):
    with pytest.raises(SchemaError, match=message):
        Grammars(tokenizer).matcher(guidance)


@pytest.mark.parametrize("expression", ["(a{1,1000}){1,1000}", "(x+x+)+y", "((a{1,100}){1,100}){1,100}"])
def test_expressions_that_explode_elsewhere_are_followed_token_by_token(tokenizer, expression):
    matcher = Grammars(tokenizer).matcher(Guidance("regex", expression))
    for _ in range(50):
        mask = matcher.compute_bitmask()
        matcher.consume_token(next(8 * i + bit for i, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1))
    assert not matcher.is_error()


def test_every_beginning_of_a_lark_text_is_allowed_and_no_other(tokenizer):
    guidance = Guidance("lark", 'start: "a" start "b" | "c"')
    for text, taken in (("aacbb", 5), ("aacb", 4), ("aacbbb", 5), ("ab", 1)):
        matcher = Grammars(tokenizer).matcher(guidance)
        assert matcher.try_consume_tokens(tokenizer.tokenize_str(text)) == taken


def test_a_grammar_is_compiled_once_and_its_matchers_do_not_share_state(tokenizer):
    grammars = Grammars(tokenizer)
    guidance = schema({"const": "x"})
    first = grammars.matcher(guidance)
    first.consume_tokens(first.compute_ff_tokens())
    assert first.is_stopped()
    assert not grammars.matcher(guidance).is_stopped()
    assert len(grammars) == 1


def test_the_least_recently_used_grammar_goes_first(tokenizer):
    grammars = Grammars(tokenizer)
    for number in range(MOST_GRAMMARS + 5):
        grammars.matcher(schema({"const": number}))
        grammars.matcher(schema({"const": 0}))
    assert len(grammars) == MOST_GRAMMARS
    assert schema({"const": 0}) in grammars
    assert schema({"const": 1}) not in grammars
