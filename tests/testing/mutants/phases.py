"""Runners with one fault each: tool calls that must be made, and thinking, tools and formats together."""

from dataclasses import replace

import pytest
from mutants.breaking import Mutants
from mutants.tiny import TinyBackend, TinyRunner, tiny_bundle

from olpipe.decoding.reading import CallFormat, Markers, ThinkingFormat
from olpipe.generation import FinishReason, ToolChoice
from olpipe.messages import ToolCallPart
from olpipe.testing.contracts.phases import PhasesContract

CONTRACT = PhasesContract
CLOCK = ToolCallPart("1", "clock", '{"zone":"UTC","seconds":true}')


class PhasedRunner(TinyRunner):
    """A runner whose model thinks and calls tools."""

    markers = Markers(ThinkingFormat("<think>", "</think>"), CallFormat("<call>", "</call>"))


class PhasedBackend(TinyBackend):
    runner = PhasedRunner


PLUGINS = Mutants(PhasedBackend)


def mutant(*caught_by):
    """Mark a runner's class as one with a fault, which its documentation names."""

    def add(runner):
        PLUGINS.broken(*caught_by)(type(runner.__name__, (TinyBackend,), {"runner": runner, "__doc__": runner.__doc__}))
        return runner

    return add


class Asks(PhasedRunner):
    """Prepares other requests than it is given."""

    def prepare(self, request):
        return super().prepare(self.changed(request))


class Says(PhasedRunner):
    """Says something else than was generated."""

    def generate(self, prepared):
        for chunk in super().generate(prepared):
            yield self.changed(chunk)


@mutant("test_a_call_that_is_required_is_made")
class CallsWhenItLikes(Asks):
    """The model decides whether to call a tool, although it has to."""

    def changed(self, request):
        return replace(request, tool_choice=ToolChoice())


@mutant("test_only_one_call_is_made_where_no_more_are_wanted")
class CallsTwice(Asks):
    """Where a single call has to be made, any number may come."""

    def changed(self, request):
        return replace(request, tool_choice=replace(request.tool_choice, parallel=True))


@mutant("test_a_call_that_is_required_is_made")
class SaysThatItJustStopped(Says):
    """An answer with tool calls does not say so."""

    def changed(self, chunk):
        return replace(chunk, finish_reason=FinishReason.STOP) if chunk.finish_reason else chunk


@mutant("test_a_call_that_is_required_is_made")
class TakesAnyArguments(Says):
    """The arguments do not fit the tool."""

    def changed(self, chunk):
        return replace(chunk, tool_calls=tuple(replace(one, arguments="{}") for one in chunk.tool_calls))


@mutant("test_a_call_that_is_required_is_made")
class CallsUnderOneId(Says):
    """All calls have an empty id."""

    def changed(self, chunk):
        return replace(chunk, tool_calls=tuple(replace(one, call_id="") for one in chunk.tool_calls))


@mutant("test_a_tool_that_is_named_is_called")
class CallsAnyTool(Asks):
    """It calls some tool, not the one that was named."""

    def changed(self, request):
        return replace(request, tool_choice=ToolChoice(request.tool_choice.mode))


@mutant("test_a_call_that_does_not_fit_is_left_out")
class MakesHalfOfACall(Says):
    """A call that the budget cut is made with the arguments that there were."""

    def changed(self, chunk):
        cut = chunk.finish_reason is FinishReason.LENGTH
        return replace(chunk, tool_calls=(replace(CLOCK, arguments='{"zone":"UTC"}'),)) if cut else chunk


@mutant("test_a_document_comes_whole_behind_the_thinking")
class ThinksAloud(Says):
    """The thinking is a part of the answer's text."""

    def changed(self, chunk):
        return replace(chunk, text=chunk.thinking + chunk.text, thinking="")


@mutant("test_a_document_comes_whole_behind_the_thinking")
class ForgetsTheFormat(Asks):
    """It thinks, and then answers freely."""

    def changed(self, request):
        return replace(request, guidance=None)


@mutant("test_with_tools_and_a_format_an_answer_is_a_call_or_a_document")
class DoesBoth(Says):
    """Behind the document comes a call, and behind a call the document."""

    def changed(self, chunk):
        if chunk.finish_reason is None:
            return chunk
        return replace(chunk, text='{"known":true}', tool_calls=(CLOCK,), finish_reason=FinishReason.TOOL_CALLS)


class TestPhases(PhasesContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)
