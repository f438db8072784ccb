"""The contract of backends, a further part: tool calls that must be made, and thinking, tools and formats together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest

from olpipe.errors import UsageError
from olpipe.generation import Completion, FinishReason, GenerateRequest, Guidance, SamplingParams, Tool, ToolChoice
from olpipe.interfaces import Runner
from olpipe.testing.contracts.asking import ModelFixtures, completion

PLACE: dict[str, Any] = {"type": "object", "properties": {"place": {"enum": ["sea", "sky"]}}, "required": ["place"]}
TIME: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"enum": ["UTC", "CET"]}, "seconds": {"type": "boolean"}},
    "required": ["zone", "seconds"],
}
TOOLS = (
    Tool("weather", "Say what the weather is like.", json.dumps(PLACE)),
    Tool("clock", "Say what time it is.", json.dumps(TIME)),
)
SCHEMAS = {tool.name: json.loads(tool.parameters) for tool in TOOLS}
FORM = {"type": "object", "properties": {"known": {"type": "boolean"}}, "required": ["known"]}
REQUIRED = ToolChoice("required")


class PhasesContract(ModelFixtures):
    """What a runner has to do that takes tools, or that thinks before it answers. It may refuse any of this."""

    def test_a_call_that_is_required_is_made(self, writer: Runner) -> None:
        """It is a call of one of the tools, with arguments that this tool takes."""
        for one in self._answers(writer, tools=TOOLS, tool_choice=REQUIRED, think="off"):
            _check_calls(one)
            assert one.tool_calls

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_tool_that_is_named_is_called(self, writer: Runner, name: str) -> None:
        """No other tool is."""
        for one in self._answers(writer, tools=TOOLS, tool_choice=ToolChoice("required", name), think="off"):
            _check_calls(one)
            assert {call.name for call in one.tool_calls} == {name}

    @pytest.mark.parametrize("mode", ["auto", "required"])
    def test_only_one_call_is_made_where_no_more_are_wanted(
        self, writer: Runner, mode: Literal["auto", "required"]
    ) -> None:
        """The answer ends with it."""
        for one in self._answers(writer, tools=TOOLS, tool_choice=ToolChoice(mode, parallel=False), think="off"):
            _check_calls(one)
            assert len(one.tool_calls) <= 1

    def test_a_call_that_does_not_fit_is_left_out(self, writer: Runner) -> None:
        """Nobody may run a tool with a part of its arguments."""
        for max_tokens in (1, 4, 9):
            for one in self._answers(writer, max_tokens, tools=TOOLS, tool_choice=REQUIRED, think="off"):
                _check_calls(one)

    @pytest.mark.parametrize("max_tokens", [4, 80])
    def test_a_document_comes_whole_behind_the_thinking(self, writer: Runner, max_tokens: int) -> None:
        """However small the budget is, nothing of the thinking is in it."""
        guidance = Guidance("json_schema", json.dumps(FORM))
        for one in self._answers(writer, max_tokens, guidance=guidance, think="on"):
            _check_document(one)

    def test_with_tools_and_a_format_an_answer_is_a_call_or_a_document(self, writer: Runner) -> None:
        """It is never both, and never anything else."""
        guidance = Guidance("json_schema", json.dumps(FORM))
        for one in self._answers(writer, guidance=guidance, tools=TOOLS, think="off"):
            _check_calls(one)
            if one.tool_calls:
                assert one.text == ""
            elif one.text or one.finish_reason is not FinishReason.LENGTH:
                _check_document(one)

    def _answers(self, writer: Runner, max_tokens: int = 120, **wishes: Any) -> Iterator[Completion]:
        """Yield the answers of several seeds and temperatures; none where the runner refuses such a request."""
        for seed, temperature in enumerate((0.0, 0.7, 1.5, 1.5)):
            sampling = SamplingParams(temperature=temperature, seed=seed)
            request: GenerateRequest = replace(self.request(sampling=sampling, max_tokens=max_tokens), **wishes)
            try:
                writer.prepare(request)
            except UsageError:
                return
            yield completion(writer, request)


def _check_calls(one: Completion) -> None:
    """Check the names, the arguments and the ids of an answer's calls, and that it says why it ended."""
    import jsonschema

    for call in one.tool_calls:
        jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])
        assert call.call_id
    assert len({call.call_id for call in one.tool_calls}) == len(one.tool_calls)
    if one.tool_calls:
        assert one.finish_reason in (FinishReason.TOOL_CALLS, FinishReason.LENGTH)
    else:
        assert one.finish_reason is not FinishReason.TOOL_CALLS


def _check_document(one: Completion) -> None:
    import jsonschema

    jsonschema.validate(json.loads(one.text), FORM)
