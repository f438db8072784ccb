"""Thinking and tool calls of models that mark them, through the public door for backends."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.reading import Markers
from olpipe.errors import UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import Completion, FinishReason, GenerateRequest, Guidance, SamplingParams, Tool, ToolChoice
from olpipe.messages import Message

MARKERS = Markers(("<think>", "</think>"), ("<tool_call>", "</tool_call>"))
LOOK = Tool("look", "Look at something.", '{"type":"object","properties":{"at":{"type":"string"}}}')
CALL = '<tool_call>{"name":"look","arguments":{"at":"sea"}}</tool_call>'
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "


class Script:
    """A sequence that says one text, whatever it is asked."""

    def __init__(self, vocabulary, text, capacity):
        self._vocabulary, self.capacity = vocabulary, capacity
        self._wanted = iter([*vocabulary.encode(text), *vocabulary.end_tokens])

    def prefill(self, prompt, start):
        return self.decode(prompt.tokens)

    def decode(self, tokens):
        logits = np.zeros(self._vocabulary.size, np.float32)
        logits[next(self._wanted)] = 9
        return logits


@pytest.fixture
def say(tiny):
    """Return what makes a runner whose model says a text."""

    def say(text, *, markers=MARKERS, template=TEMPLATE, special=True):
        added = dict.fromkeys(("<think>", "</think>", "<tool_call>", "</tool_call>"), special)
        vocabulary = tiny.vocabulary_with(added)
        render = ChatRenderer(vocabulary, TemplateFiles(template, {}, adds_begin=False))
        return LogitsRunner(
            vocabulary,
            lambda capacity: Script(vocabulary, text, capacity),
            render,
            context_length=400,
            markers=markers,
        )

    return say


def ask(text="the dog", **options):
    sampling = SamplingParams(max_tokens=options.pop("max_tokens", 99))
    return GenerateRequest("toy", (Message.of("user", text),), sampling, **options)


def complete(runner, request):
    return Completion.of(list(runner.generate(runner.prepare(request))))


def test_thinking_is_told_from_the_answer(say):
    answer = complete(say("<think>Waves?</think>\n\nThe sea."), ask(think="on"))
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")
    assert answer.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("special", [True, False])
def test_markers_are_read_whether_or_not_they_are_special_tokens(say, special):
    answer = complete(say("<think>Waves?</think>The sea.", special=special), ask())
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")


def test_thinking_that_the_template_has_opened_begins_at_once(say):
    runner = say("Waves?</think>The sea.", template=TEMPLATE + "<think>\n")
    answer = complete(runner, ask(think="on"))
    assert (answer.thinking, answer.text) == ("Waves?", "The sea.")


def test_a_marker_in_the_users_words_opens_nothing(say):
    runner = say("The sea.", template="{{ messages[0].content }}")
    answer = complete(runner, ask("say <think>"))
    assert (answer.thinking, answer.text) == ("", "The sea.")


def test_thinking_cut_by_the_budget_is_thinking(say):
    answer = complete(say("<think>the dog is on the street"), ask(max_tokens=4, think="on"))
    assert answer.text == ""
    assert answer.thinking.startswith("the dog")
    assert answer.finish_reason is FinishReason.LENGTH


def test_a_tool_call_is_whole_and_says_why_the_answer_ended(say):
    answer = complete(say(f"I look. {CALL}"), ask(tools=(LOOK,)))
    assert answer.text == "I look. "
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("look", '{"at":"sea"}')]
    assert answer.finish_reason is FinishReason.TOOL_CALLS


def test_an_answer_without_a_call_just_stops(say):
    answer = complete(say("I know."), ask(tools=(LOOK,)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("I know.", (), FinishReason.STOP)


def test_a_call_cut_by_the_budget_is_text(say):
    answer = complete(say(CALL, special=False), ask(max_tokens=6, tools=(LOOK,)))
    assert answer.tool_calls == ()
    assert answer.text.startswith('<tool_call>{"')
    assert answer.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"think": "on"}, "`toy` does not support thinking"),
        ({"tools": (LOOK,)}, "`toy` does not support tools"),
    ],
)
def test_what_the_model_has_no_markers_for_is_refused(say, changes, message):
    with pytest.raises(UsageError, match=message):
        say("Hm.", markers=None).prepare(ask(**changes))


def test_thinking_that_is_not_wanted_needs_no_markers(say):
    assert complete(say("Hm.", markers=None), ask(think="off")).text == "Hm."


def test_tools_that_are_forbidden_need_no_markers_and_make_no_calls(say):
    request = ask(tools=(LOOK,), tool_choice=ToolChoice("none"))
    assert complete(say("Hm.", markers=None), request).text == "Hm."
    answer = complete(say(f"Hm.{CALL}"), request)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (f"Hm.{CALL}", (), FinishReason.STOP)


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("auto", "look")])
def test_a_choice_that_cannot_be_kept_is_refused(say, choice):
    with pytest.raises(UsageError, match="`toy` decides itself whether to call tools") as caught:
        say("Hm.").prepare(ask(tools=(LOOK,), tool_choice=choice))
    assert caught.value.hint == "use the choice `auto`"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"think": "on"}, "an answer that follows a format cannot think first"),
        ({"tools": (LOOK,)}, "an answer that follows a format cannot call tools"),
    ],
)
def test_a_format_goes_with_neither_thinking_nor_tools(say, changes, message):
    with pytest.raises(UsageError, match=message):
        say("Hm.").prepare(ask(guidance=Guidance("json"), **changes))
