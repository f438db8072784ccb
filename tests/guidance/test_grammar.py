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
        Guidance("lark", "start: nowhere"),
    ],
)
def test_what_cannot_be_decoded_to_is_refused_in_one_line(tokenizer, guidance):
    with pytest.raises(SchemaError, match="cannot be decoded to") as caught:
        Grammars(tokenizer).matcher(guidance)
    assert "\n" not in caught.value.message


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
