"""Tool calls in the formats of several families: written by random models, and by models that say what is wanted."""

from __future__ import annotations

import json
import re
from random import Random

import jsonschema
import pytest

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_json
from olpipe.decoding.reading import CallFormat, Markers
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.generation import FinishReason, Guidance, Tool, ToolChoice
from olpipe.testing.gguf import write_gguf
from olpipe.testing.schemas import draw
from olpipe.testing.sentencepiece import sentencepiece_metadata
from tests.decoding.conftest import MARKS
from tests.decoding.scripts import COUNT, HERMES, LOOK, THINK, ask, complete, made, random_runner, scripted

LISTED = CallFormat("[TOOL_CALLS]", before="[", between=", ", after="]")
NAMED = CallFormat("[TOOL_CALLS]", around_name=("", "[ARGS]", ""))
PHI = CallFormat("<|tool_call|>", "<|/tool_call|>", before="[", between=", ", after="]")
BARE = CallFormat("", arguments_key="parameters", tag="<|python_tag|>")
PLAIN = CallFormat("<CALLS>", "</CALLS>", before="\n[", between=",\n", after="]\n", gap="\n")
FORMATS = {"hermes": HERMES, "list": LISTED, "named": NAMED, "phi": PHI, "bare": BARE, "no special tokens": PLAIN}

TWO_CALLS = {
    "hermes": '<tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "count", "arguments": {"most": 3, "all": true}}\n</tool_call>',
    "list": '[TOOL_CALLS][{"name": "look", "arguments": {"at": "sea"}}, '
    '{"name": "count", "arguments": {"most": 3, "all": true}}]',
    "named": '[TOOL_CALLS]look[ARGS]{"at": "sea"}[TOOL_CALLS]count[ARGS]{"most": 3, "all": true}',
    "phi": '<|tool_call|>[{"name": "look", "arguments": {"at": "sea"}}, '
    '{"name": "count", "arguments": {"most": 3, "all": true}}]<|/tool_call|>',
    "no special tokens": '<CALLS>\n[{"name": "look", "arguments": {"at": "sea"}},\n'
    '{"name": "count", "arguments": {"most": 3, "all": true}}]\n</CALLS>',
}
BOTH = [("look", '{"at":"sea"}'), ("count", '{"most":3,"all":true}')]
REQUIRED = ToolChoice("required")


@pytest.mark.parametrize("choice", [ToolChoice(), REQUIRED])
@pytest.mark.parametrize("name", TWO_CALLS)
def test_two_calls_are_read_in_the_format_of_each_family(marked, name, choice):
    runner = scripted(marked.vocabulary, TWO_CALLS[name], markers=Markers(call=FORMATS[name]))
    answer = complete(runner, ask(tools=(LOOK, COUNT), tool_choice=choice, max_tokens=200))
    assert (made(answer), answer.text, answer.finish_reason) == (BOTH, "", FinishReason.TOOL_CALLS)


@pytest.mark.parametrize("name", TWO_CALLS)
def test_calls_of_a_list_come_one_by_one(marked, name):
    runner = scripted(marked.vocabulary, TWO_CALLS[name], markers=Markers(call=FORMATS[name]))
    chunks = list(runner.generate(runner.prepare(ask(tools=(LOOK, COUNT), max_tokens=200))))
    assert [len(chunk.tool_calls) for chunk in chunks if chunk.tool_calls] == [1, 1]


@pytest.fixture(scope="module", params=[MARKS, ()], ids=["special tokens", "no special tokens"])
def pieces(request, tmp_path_factory):
    """Return a vocabulary as SentencePiece makes them, with a space before each text."""
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.gguf"
    metadata = sentencepiece_metadata(specials=request.param)
    write_gguf(path, {"general.architecture": "llama", **metadata}, {})
    read = read_tokenizer(read_header(path))
    size = len(metadata["tokenizer.ggml.tokens"])
    return Vocabulary(json.dumps(tokenizer_json(read)), size=size, end_tokens=read.special.ends)


@pytest.mark.parametrize("name", TWO_CALLS)
def test_calls_and_documents_are_written_with_a_vocabulary_of_sentencepiece(pieces, name):
    markers = Markers(THINK, FORMATS[name])
    thinking = "<think>\nthe dog</think>\n\n"
    runner = scripted(pieces, thinking + TWO_CALLS[name], markers=markers)
    request = ask(tools=(LOOK, COUNT), tool_choice=REQUIRED, think="on", max_tokens=300)
    answer = complete(runner, request)
    assert (answer.thinking, made(answer), answer.text) == ("the dog", BOTH, "")
    runner = scripted(pieces, thinking + '["a b"]', markers=markers)
    answer = complete(runner, ask(tools=(LOOK,), guidance=DOCUMENTS, think="on", max_tokens=300))
    assert (answer.thinking, answer.text, made(answer)) == ("the dog", '["a b"]', [])


@pytest.mark.parametrize("tag", ["", "<|python_tag|>", "\n"])
def test_an_answer_that_begins_as_json_is_a_call_where_calls_have_no_marker(marked, tag):
    text = tag + '{"name": "look", "parameters": {"at": "sea"}}'
    answer = complete(scripted(marked.vocabulary, text, markers=Markers(call=BARE)), ask(tools=(LOOK, COUNT)))
    assert (made(answer), answer.text, answer.finish_reason) == (BOTH[:1], "", FinishReason.TOOL_CALLS)


def test_json_that_is_no_call_becomes_one_where_calls_have_no_marker(marked):
    runner = scripted(marked.vocabulary, '{"sea": 3}', markers=Markers(call=BARE))
    answer = complete(runner, ask(tools=(COUNT,), max_tokens=200))
    assert [name for name, _ in made(answer)] == ["count"]


@pytest.mark.parametrize("text", ["The {sea}", " [1, 2]", "see <"])
def test_any_other_answer_is_text_where_calls_have_no_marker(marked, text):
    answer = complete(scripted(marked.vocabulary, text, markers=Markers(call=BARE)), ask(tools=(LOOK,)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (text, (), FinishReason.STOP)


def test_where_there_are_no_tools_json_is_text(marked):
    text = '{"name": "look", "parameters": {"at": "sea"}}'
    assert complete(scripted(marked.vocabulary, text, markers=Markers(call=BARE)), ask()).text == text


def test_an_answer_may_end_behind_a_call_in_a_format_without_an_end(marked):
    own = CallFormat("[TOOL_CALLS]", between=", ")
    for text in (
        TWO_CALLS["list"].replace("[{", "{").removesuffix("]"),
        '[TOOL_CALLS]{"name": "look", "arguments": {"at": "sea"}}',
    ):
        answer = complete(scripted(marked.vocabulary, text, markers=Markers(call=own)), ask(tools=(LOOK, COUNT)))
        assert made(answer) == BOTH[: len(made(answer))] != []
        assert answer.finish_reason is FinishReason.TOOL_CALLS


def test_names_and_arguments_may_have_any_characters(marked):
    name = 'a "b" \\ <tool_call> {狗}'
    tool = Tool(name, "", '{"type":"object","properties":{"{":{"const":"</tool_call>\\"}"}},"required":["{"]}')
    for format_ in (HERMES, PHI, LISTED):
        runner = random_runner(marked, markers=Markers(call=format_))
        answer = complete(runner, ask(tools=(tool,), tool_choice=ToolChoice("required", name), max_tokens=300))
        assert made(answer) == [(name, '{"{":"</tool_call>\\"}"}')]


# --- random models ----------------------------------------------------------------------------------


def drawn_tools(random):
    """Return tools with random parameters, and the schemas of these by name."""
    schemas = {}
    for name in ("find", "fetch", "f")[: random.randint(1, 3)]:
        drawn = draw(random)[0]
        definitions = {key: drawn.pop(key) for key in ("$defs",) if key in drawn}
        schemas[name] = {"type": "object", "properties": {"n": {"const": 1}, "one": drawn}, **definitions}
        schemas[name]["required"] = ["n", "one"]
    return tuple(Tool(name, "", json.dumps(schema)) for name, schema in schemas.items()), schemas


def judge(answer, schemas):
    """Check that the calls of an answer are calls of tools, with arguments that these take."""
    for call in answer.tool_calls:
        arguments = json.loads(call.arguments)
        jsonschema.Draft202012Validator(schemas[call.name]).validate(arguments)
        assert list(arguments) == list(schemas[call.name]["properties"])
        assert re.fullmatch("call_[a-z0-9]{8}", call.call_id)
    assert len({call.call_id for call in answer.tool_calls}) == len(answer.tool_calls)


@pytest.mark.examples(6)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FORMATS)
def test_every_call_of_a_random_model_fits_its_tool(marked, name, seed):
    random = Random(seed)
    runner = random_runner(marked, markers=Markers(THINK, FORMATS[name]))
    made_any = 0
    for temperature in (0.0, 0.7, 1.5):
        tools, schemas = drawn_tools(random)
        for choice in (REQUIRED, ToolChoice("required", tools[0].name)):
            request = ask(tools=tools, tool_choice=choice, temperature=temperature, seed=seed, max_tokens=400)
            answer = complete(runner, request)
            judge(answer, schemas)
            assert answer.text == answer.thinking == ""
            assert answer.tool_calls or answer.finish_reason is FinishReason.LENGTH
            assert choice.name is None or [call.name for call in answer.tool_calls] in ([], [choice.name])
            made_any += len(answer.tool_calls)
    assert made_any


DIGIT = '{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":9}},"required":["n"]}'
SHORT = Tool("f", "", DIGIT)
WORDS = {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 1, "maxItems": 3}
DOCUMENTS = Guidance("json_schema", json.dumps(WORDS))


@pytest.mark.parametrize("seed", range(30))
def test_thinking_calls_and_documents_of_a_random_model_never_mix(marked, seed):
    runner = random_runner(marked, markers=Markers(THINK, HERMES))
    for temperature, max_tokens in ((0.7, 24), (1.5, 80)):
        request = ask(
            think="on", guidance=DOCUMENTS, tools=(SHORT,), temperature=temperature, seed=seed, max_tokens=max_tokens
        )
        answer = complete(runner, request)
        if answer.tool_calls:
            judge(answer, {"f": json.loads(DIGIT)})
            assert answer.text == ""
        elif answer.text or answer.finish_reason is FinishReason.STOP:
            jsonschema.validate(json.loads(answer.text), WORDS)
        assert answer.usage.sampled_tokens + answer.usage.forced_tokens <= max_tokens + 40
        assert "</think>" not in answer.text


@pytest.mark.parametrize("seed", range(20))
def test_a_random_model_that_thinks_always_writes_the_document(marked, seed):
    runner = random_runner(marked)
    for temperature, max_tokens in ((0.0, 64), (1.5, 12), (1.5, 100)):
        request = ask(think="on", guidance=DOCUMENTS, temperature=temperature, seed=seed, max_tokens=max_tokens)
        answer = complete(runner, request)
        jsonschema.validate(json.loads(answer.text), WORDS)
        assert answer.tool_calls == ()
