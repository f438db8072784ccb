"""Thinking and tool calls in free answers of models that mark them, through the public door for backends."""

from __future__ import annotations

import re

import pytest

from olpipe.decoding.reading import Markers
from olpipe.errors import SchemaError, UsageError
from olpipe.generation import FinishReason, Guidance, Tool, ToolChoice
from tests.decoding.scripts import (
    CALL,
    COUNT,
    COUNTING,
    HERMES,
    LOOK,
    TEMPLATE,
    THINK,
    ask,
    complete,
    made,
    random_runner,
    scripted,
)

SEA = [("look", '{"at":"sea"}')]


@pytest.fixture
def say(tiny):
    """Return what makes a runner whose model says a text."""

    def say(text, *, special=True, **options):
        added = dict.fromkeys(("<think>", "</think>", "<tool_call>", "</tool_call>"), special)
        return scripted(tiny.vocabulary_with(added), text, **options)

    return say


def test_thinking_is_told_from_the_answer(say):
    answer = complete(say("<think>Waves?</think>\n\nThe sea."), ask(think="on"))
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")
    assert answer.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("special", [True, False])
def test_markers_are_read_whether_or_not_they_are_special_tokens(say, special):
    answer = complete(say("<think>Waves?</think>The sea.", special=special), ask())
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")


def test_markers_that_the_vocabulary_does_not_have_are_read_as_text(tiny):
    answer = complete(scripted(tiny.vocabulary, f"<think>Hm.</think>I look. {CALL}"), ask(tools=(LOOK,)))
    assert (answer.thinking, answer.text, made(answer)) == ("Hm.", "I look. ", SEA)


def test_thinking_that_the_template_has_opened_begins_at_once(say):
    answer = complete(say("Waves?</think>The sea.", template=TEMPLATE + "<think>\n"), ask(think="on"))
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")


def test_thinking_that_the_template_has_opened_is_closed_where_it_is_not_wanted(say):
    runner = say("</think>\n\nThe sea.", template=TEMPLATE + "<think>\n")
    answer = complete(runner, ask(think="off"))
    assert (answer.thinking, answer.text, answer.usage.forced_tokens) == ("", "The sea.", 3)


def test_a_marker_in_the_users_words_opens_nothing(say):
    answer = complete(say("The sea.", template="{{ messages[0].content }}"), ask("say <think>"))
    assert (answer.thinking, answer.text) == ("", "The sea.")


def test_thinking_cut_by_the_budget_is_thinking(say):
    answer = complete(say("<think>the dog is on the street"), ask(max_tokens=4, think="on"))
    assert answer.text == ""
    assert answer.thinking.startswith("the dog")
    assert answer.finish_reason is FinishReason.LENGTH


def test_a_stop_text_ends_text_and_not_thinking(say):
    runner = say("<think>a END b</think>one END two")
    answer = complete(runner, ask(stop=("END",)))
    assert (answer.thinking, answer.text, answer.stopped_by) == ("a END b", "one ", "END")


def test_a_tool_call_is_whole_and_says_why_the_answer_ended(say):
    runner = say(f"I look. {CALL}")
    chunks = list(runner.generate(runner.prepare(ask(tools=(LOOK,)))))
    calls = [chunk.tool_calls for chunk in chunks if chunk.tool_calls]
    assert "".join(chunk.text for chunk in chunks) == "I look. "
    assert [[(call.name, call.arguments) for call in each] for each in calls] == [SEA]
    assert re.fullmatch("call_[a-z0-9]{8}", calls[0][0].call_id)
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS


def test_text_and_further_calls_may_follow_a_call(say):
    answer = complete(say(f"One: {CALL}\nTwo: {COUNTING}\nSoon."), ask(max_tokens=200, tools=(LOOK, COUNT)))
    assert answer.text == "One: Two: Soon."
    assert made(answer) == [*SEA, ("count", '{"most":3,"all":true}')]
    assert len({call.call_id for call in answer.tool_calls}) == 2


def test_a_stop_text_does_not_cut_a_call(say):
    answer = complete(say(f"I look. {CALL}"), ask(tools=(LOOK,), stop=("name", "sea")))
    assert (made(answer), answer.stopped_by) == (SEA, "")


def test_an_answer_without_a_call_just_stops(say):
    answer = complete(say("I know."), ask(tools=(LOOK,)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("I know.", (), FinishReason.STOP)


@pytest.mark.parametrize("special", [True, False])
def test_a_call_cut_by_the_budget_is_left_out(say, special):
    answer = complete(say(f"Hm. {CALL}", special=special), ask(max_tokens=24, tools=(LOOK,)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("Hm. ", (), FinishReason.LENGTH)


def test_a_name_that_is_no_tool_cannot_be_called(say):
    answer = complete(say(CALL), ask(max_tokens=200, tools=(COUNT,)))
    assert [name for name, _ in made(answer)] == ["count"]


def test_only_the_chosen_tool_may_be_called(say):
    answer = complete(say(COUNTING), ask(tools=(COUNT, LOOK), tool_choice=ToolChoice("auto", "look"), max_tokens=200))
    assert {name for name, _ in made(answer)} <= {"look"}


def test_tools_that_are_forbidden_need_no_markers_and_make_no_calls(say):
    request = ask(tools=(LOOK,), tool_choice=ToolChoice("none"))
    assert complete(say("Hm.", markers=None), request).text == "Hm."
    answer = complete(say(f"Hm.{CALL}"), request)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("Hm.", (), FinishReason.STOP)


def test_where_calls_are_forbidden_a_random_model_never_writes_their_marker(marked):
    runner = random_runner(marked)
    for seed in range(10):
        prepared = runner.prepare(
            ask(tools=(LOOK,), tool_choice=ToolChoice("none"), temperature=1.5, seed=seed, top_logprobs=0)
        )
        tokens = [one.token for chunk in runner.generate(prepared) for one in chunk.logprobs]
        assert marked.vocabulary.token_of("<tool_call>") not in tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"think": "on"}, '"toy" does not support thinking'),
        ({"think": "high"}, '"toy" does not support thinking'),
        ({"think": "on", "guidance": Guidance("json")}, '"toy" does not support thinking'),
        ({"tools": (LOOK,)}, '"toy" does not support tools'),
        ({"tools": (LOOK,), "tool_choice": ToolChoice("required")}, '"toy" does not support tools'),
        ({"tool_choice": ToolChoice("required")}, "a tool has to be called, but the request has no tools"),
    ],
)
def test_what_the_model_has_no_markers_for_is_refused(say, changes, message):
    with pytest.raises(UsageError) as caught:
        say("Hm.", markers=None).prepare(ask(**changes))
    assert caught.value.message == message


def test_a_choice_of_a_tool_that_is_not_there_is_refused(say):
    with pytest.raises(UsageError, match="the tool `lok` is not one of the request's tools") as caught:
        say("Hm.").prepare(ask(tools=(LOOK,), tool_choice=ToolChoice("required", "lok")))
    assert caught.value.hint == "did you mean `look`?"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ('{"type":"objekt"}', "the parameters of the tool `look`: the schema is not valid at `$.type`"),
        (
            '{"type":"object","properties":{"at":{"type":"string","pattern":"(?<=a)b"}}}',
            "the parameters of the tool `look`: `$.properties.at.pattern` cannot be enforced",
        ),
        ('{"type":"string"}', "the parameters of the tool `look` allow no object"),
        ('{"type":"object","requierd":[]}', "the parameters of the tool `look`: `requierd` at `$` is not a keyword"),
    ],
)
def test_parameters_that_cannot_be_enforced_are_refused_with_the_tool_and_the_place(say, parameters, message):
    with pytest.raises(SchemaError) as caught:
        say("Hm.").prepare(ask(tools=(COUNT, Tool("look", "", parameters))))
    assert message in caught.value.message


def test_thinking_that_is_not_wanted_needs_no_markers(say):
    assert complete(say("Hm.", markers=None), ask(think="off")).text == "Hm."


def test_a_model_may_think_and_call(say):
    answer = complete(say(f"<think>{CALL}?</think>{CALL}"), ask(tools=(LOOK,), think="on", max_tokens=200))
    assert (answer.thinking, made(answer), answer.text) == (f"{CALL}?", SEA, "")


def test_a_model_with_one_of_both_markers_has_one_of_both_parts(say):
    answer = complete(say(f"<think>a</think>{CALL}", markers=Markers(call=HERMES)), ask(tools=(LOOK,)))
    assert (answer.thinking, answer.text, made(answer)) == ("", "a", SEA)
    answer = complete(say(f"<think>a</think>{CALL}", markers=Markers(THINK)), ask())
    assert (answer.thinking, made(answer)) == ("a", [])
