"""Answers that have to be a document or a tool call, by models that think and that call tools."""

from __future__ import annotations

import json

import pytest

from olpipe.decoding.phases import THINKING_SHARE
from olpipe.decoding.reading import CallFormat, Markers
from olpipe.errors import UsageError
from olpipe.generation import FinishReason, Guidance, Tool, ToolChoice
from tests.decoding.scripts import (
    CALL,
    COUNT,
    COUNTING,
    LOOK,
    TEMPLATE,
    ask,
    complete,
    made,
    scripted,
)

SCHEMA = {
    "type": "object",
    "properties": {"wet": {"type": "boolean"}, "deep": {"type": "boolean"}},
    "required": ["wet", "deep"],
}
WET = Guidance("json_schema", json.dumps(SCHEMA))
DOCUMENT = '{"wet":true,"deep":false}'
OPENED = TEMPLATE + "<think>"
REQUIRED = ToolChoice("required")
LOOKING = [("look", '{"at":"sea"}')]


@pytest.fixture
def say(marked):
    """Return what makes a runner whose model says a text."""
    return lambda text, **options: scripted(marked.vocabulary, text, **options)


def test_a_document_follows_the_thinking_in_one_prefill(say):
    sequences = []
    runner = say(f"<think>\nWaves?</think>\n\n{DOCUMENT}", sequences=sequences)
    answer = complete(runner, ask(think="on", guidance=WET))
    assert (answer.thinking, answer.text, answer.finish_reason) == ("Waves?", DOCUMENT, FinishReason.STOP)
    assert [sequence.prefills for sequence in sequences] == [1]


def test_the_opening_marker_is_forced_only_where_the_prompt_does_not_have_it(say):
    shut = complete(say(f"<think>\nHm.</think>\n\n{DOCUMENT}"), ask(think="on", guidance=WET, top_logprobs=0))
    opened = complete(say(f"Hm.</think>\n\n{DOCUMENT}", template=OPENED), ask(think="on", guidance=WET, top_logprobs=0))
    assert (shut.thinking, shut.text) == (opened.thinking, opened.text) == ("Hm.", DOCUMENT)
    assert shut.usage.forced_tokens == opened.usage.forced_tokens + 2  # the marker and its line break
    assert [one.raw for one in shut.logprobs[:2]] == [None, None]


def test_a_model_that_ends_its_answer_while_it_thinks_writes_the_document_all_the_same(say):
    answer = complete(say("<think>\nThat is all."), ask(think="on", guidance=WET))
    assert answer.thinking == "That is all."
    assert set(json.loads(answer.text)) == {"wet", "deep"}
    assert answer.finish_reason is FinishReason.STOP


def test_thinking_without_end_is_ended_in_time_for_the_document(say):
    answer = complete(say("<think>\n" + "the dog is on the street and " * 50), ask(think="on", guidance=WET))
    assert answer.thinking.startswith("the dog is on the street")
    assert set(json.loads(answer.text)) == {"wet", "deep"}
    assert answer.finish_reason is FinishReason.STOP
    used = answer.usage.sampled_tokens + answer.usage.forced_tokens
    assert int(99 * THINKING_SHARE) < used <= 99


@pytest.mark.parametrize("max_tokens", [*range(40), 60])
@pytest.mark.parametrize("template", [TEMPLATE, OPENED])
def test_the_document_is_whole_however_small_the_budget_is(say, max_tokens, template):
    answer = complete(say("x" * 300, template=template), ask(think="on", guidance=WET, max_tokens=max_tokens))
    assert set(json.loads(answer.text)) == {"wet", "deep"}
    used = answer.usage.sampled_tokens + answer.usage.forced_tokens
    assert used <= max_tokens or (answer.finish_reason is FinishReason.LENGTH and answer.thinking == "")


def test_where_the_budget_is_too_small_there_is_no_thinking(say):
    answer = complete(say("x" * 300), ask(think="on", guidance=WET, max_tokens=5))
    assert (answer.thinking, answer.finish_reason) == ("", FinishReason.LENGTH)


@pytest.mark.parametrize("think", [None, "off"])
def test_without_thinking_a_document_begins_at_once(say, think):
    answer = complete(say(DOCUMENT), ask(think=think, guidance=WET))
    assert (answer.thinking, answer.text) == ("", DOCUMENT)
    answer = complete(say(f"</think>\n\n{DOCUMENT}", template=OPENED), ask(think=think, guidance=WET))
    assert (answer.thinking, answer.text) == ("", DOCUMENT)


def test_stop_texts_cut_neither_the_thinking_nor_the_document(say):
    answer = complete(say(f"<think>\nwet?</think>\n\n{DOCUMENT}"), ask(think="on", guidance=WET, stop=("wet", ":")))
    assert (answer.thinking, answer.text, answer.stopped_by) == ("wet?", DOCUMENT, "")


def test_markers_within_a_document_are_its_text(tiny):
    schema = {"type": "object", "properties": {"say": {"type": "string"}}, "required": ["say"]}
    document = '{"say":"<think>no</think><tool_call>"}'
    runner = scripted(tiny.vocabulary, f"<think>\nyes</think>\n\n{document}")
    guidance = Guidance("json_schema", json.dumps(schema))
    answer = complete(runner, ask(think="on", guidance=guidance, tools=(LOOK,), max_tokens=200))
    assert (answer.thinking, answer.text, answer.tool_calls) == ("yes", document, ())


def test_every_token_has_its_logprobs_in_all_phases(say):
    request = ask(think="on", guidance=WET, top_logprobs=2)
    answer = complete(say(f"<think>\nHm.</think>\n\n{DOCUMENT}"), request)
    assert len(answer.logprobs) == answer.usage.sampled_tokens + answer.usage.forced_tokens
    sampled = [one for one in answer.logprobs if one.raw is not None]
    assert len(sampled) == answer.usage.sampled_tokens
    assert all(one.top_raw for one in sampled)


def test_known_values_join_the_document_behind_the_thinking(say):
    guidance = Guidance("json_schema", json.dumps(SCHEMA), (("wet", "true"),))
    answer = complete(say('<think>\nHm.</think>\n\n{"deep":false}'), ask(think="on", guidance=guidance))
    assert (answer.thinking, answer.text) == ("Hm.", DOCUMENT)
    assert answer.usage.spliced_tokens > 0


# --- calls that must be made ------------------------------------------------------------------------


def test_a_call_that_is_required_is_made_at_once(say):
    answer = complete(say(CALL), ask(tools=(LOOK, COUNT), tool_choice=REQUIRED))
    assert (made(answer), answer.text, answer.finish_reason) == (LOOKING, "", FinishReason.TOOL_CALLS)


def test_more_calls_may_follow_one_that_is_required_but_no_text(say):
    request = ask(tools=(LOOK, COUNT), tool_choice=REQUIRED, max_tokens=200)
    answer = complete(say(f"{CALL}\n{COUNTING}"), request)
    assert [name for name, _ in made(answer)] == ["look", "count"]
    answer = complete(say(f"{CALL}\nI looked."), request)
    assert answer.text == ""
    assert made(answer)[0] == LOOKING[0]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_an_answer_ends_with_its_first_call_where_only_one_is_wanted(say, mode):
    request = ask(tools=(LOOK, COUNT), tool_choice=ToolChoice(mode), max_tokens=200)
    alone = ask(tools=(LOOK, COUNT), tool_choice=ToolChoice(mode, parallel=False), max_tokens=200)
    says = f"{CALL}\n{COUNTING}"
    assert [name for name, _ in made(complete(say(says), request))] == ["look", "count"]
    answer = complete(say(says), alone)
    assert (made(answer), answer.text, answer.finish_reason) == (LOOKING, "", FinishReason.TOOL_CALLS)


def test_a_named_tool_is_called_once(say):
    request = ask(tools=(LOOK, COUNT), tool_choice=ToolChoice("required", "count"), max_tokens=200)
    answer = complete(say(f"{COUNTING}\n{COUNTING}"), request)
    assert (made(answer), answer.finish_reason) == ([("count", '{"most":3,"all":true}')], FinishReason.TOOL_CALLS)


def test_a_required_call_comes_behind_the_thinking(say):
    request = ask(tools=(LOOK,), tool_choice=REQUIRED, think="on", max_tokens=200)
    answer = complete(say(f"<think>\nWhere?</think>\n\n{CALL}"), request)
    assert (answer.thinking, made(answer), answer.text) == ("Where?", LOOKING, "")


def test_a_required_call_that_does_not_fit_is_left_out(say):
    answer = complete(say(CALL), ask(tools=(LOOK,), tool_choice=REQUIRED, max_tokens=6))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("", (), FinishReason.LENGTH)


def test_without_a_wish_to_think_a_required_call_begins_at_once(say):
    template = TEMPLATE + "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    answer = complete(say(CALL, template=template), ask(tools=(LOOK,), tool_choice=REQUIRED))
    assert (answer.thinking, made(answer)) == ("", LOOKING)


def test_a_tool_without_parameters_takes_no_arguments(say):
    for parameters in ("", "{}"):
        answer = complete(say(""), ask(tools=(Tool("now", "", parameters),), tool_choice=REQUIRED, max_tokens=200))
        assert made(answer)[0] == ("now", "{}")


# --- a call or a document ---------------------------------------------------------------------------


def test_the_first_token_chooses_between_a_call_and_the_document(say):
    request = ask(tools=(LOOK,), guidance=WET, max_tokens=200)
    answer = complete(say(DOCUMENT), request)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (DOCUMENT, (), FinishReason.STOP)
    answer = complete(say(CALL), request)
    assert (answer.text, made(answer), answer.finish_reason) == ("", LOOKING, FinishReason.TOOL_CALLS)


def test_the_choice_comes_behind_the_thinking(say):
    request = ask(tools=(LOOK,), guidance=WET, think="on", max_tokens=200)
    answer = complete(say(f"<think>\nHm.</think>\n\n{CALL}"), request)
    assert (answer.thinking, answer.text, made(answer)) == ("Hm.", "", LOOKING)
    answer = complete(say(f"<think>\nHm.</think>\n\n{DOCUMENT}"), request)
    assert (answer.thinking, answer.text, made(answer)) == ("Hm.", DOCUMENT, [])


def test_a_marker_of_several_tokens_chooses_as_well(tiny):
    request = ask(tools=(LOOK,), guidance=WET, max_tokens=200)
    answer = complete(scripted(tiny.vocabulary, CALL), request)
    assert (answer.text, made(answer)) == ("", LOOKING)
    assert complete(scripted(tiny.vocabulary, DOCUMENT), request).text == DOCUMENT


@pytest.mark.parametrize("max_tokens", range(12))
def test_the_document_is_whole_with_tools_too_however_small_the_budget_is(say, max_tokens):
    answer = complete(say(DOCUMENT), ask(tools=(LOOK,), guidance=WET, max_tokens=max_tokens))
    assert set(json.loads(answer.text)) == {"wet", "deep"}


def test_a_call_for_which_there_is_no_room_is_no_choice(say):
    for max_tokens in (20, 40, 60, 80):
        answer = complete(say(CALL), ask(tools=(LOOK,), guidance=WET, max_tokens=max_tokens))
        assert made(answer) == LOOKING or set(json.loads(answer.text)) == {"wet", "deep"}


def test_a_required_call_comes_in_place_of_the_document(say):
    answer = complete(say(CALL), ask(tools=(LOOK,), guidance=WET, tool_choice=REQUIRED))
    assert (answer.text, made(answer)) == ("", LOOKING)


def test_calls_that_are_forbidden_leave_the_document(say):
    answer = complete(say(CALL), ask(tools=(LOOK,), guidance=WET, tool_choice=ToolChoice("none")))
    assert set(json.loads(answer.text)) == {"wet", "deep"}


def test_calls_without_a_marker_do_not_go_with_a_format(say, tiny):
    markers = Markers(call=CallFormat("", arguments_key="parameters", tag="<|python_tag|>"))
    request = ask(tools=(LOOK,), guidance=WET, max_tokens=200)
    bare = '{"name": "look", "parameters": {"at": "sea"}}'
    assert made(complete(say(f"<|python_tag|>{bare}", markers=markers), request)) == LOOKING
    assert complete(say(DOCUMENT, markers=markers), request).text == DOCUMENT
    with pytest.raises(UsageError, match="`toy` writes tool calls without a marker"):
        scripted(tiny.vocabulary, bare, markers=markers).prepare(request)


# --- markers that share a token with the text behind them -------------------------------------------


@pytest.mark.parametrize("joined", [">The", ">\n\n"])
def test_a_token_across_the_end_of_the_thinking_is_cut(tiny, joined):
    vocabulary = tiny.vocabulary_with({joined: False})
    answer = complete(scripted(vocabulary, f"<think>\nHm.</think{joined}"), ask(think="on", guidance=WET))
    assert answer.thinking == "Hm."
    assert set(json.loads(answer.text)) == {"wet", "deep"}


def test_a_token_across_the_marker_of_a_call_is_cut(tiny):
    vocabulary = tiny.vocabulary_with({'>\n{"name': False})
    answer = complete(scripted(vocabulary, f"I look. {CALL}"), ask(tools=(LOOK,), max_tokens=200))
    assert (answer.text, made(answer)[0][0]) == ("I look. ", "look")


def test_half_a_character_at_the_end_of_the_thinking_is_given_up(marked):
    runner = scripted(marked.vocabulary, "<think>\n" + "狗" * 40)
    for max_tokens in range(50, 54):
        answer = complete(runner, ask(think="on", guidance=WET, max_tokens=max_tokens))
        assert set(answer.thinking) == {"狗"}
        assert set(json.loads(answer.text)) == {"wet", "deep"}
