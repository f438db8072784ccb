"""Tool calls over HTTP: held to the schemas of the tools. The models have random weights."""

import json
import re

import jsonschema
import pytest

from olpipe.testing.models import vocabulary
from tests.server.conftest import MARKERS

SCHEMAS = {
    "look": {
        "type": "object",
        "properties": {
            "wide": {"type": "boolean"},
            "at": {"enum": ["sea", "sky"]},
            "most": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["wide", "at", "most"],
    },
    "count": {
        "type": "object",
        "properties": {"of": {"type": "array", "items": {"enum": ["dog", "cat"]}, "minItems": 1, "maxItems": 3}},
        "required": ["of"],
    },
}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
ASKED = [{"role": "user", "content": "the cat"}]
MARKER = len(vocabulary()[0]) + MARKERS.index("<tool_call>")
DOCUMENT = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}


def ask(server, seed=1, **fields):
    """Return the message and the finish reason of an answer of OpenAI's API."""
    asked = {
        "model": "thinker", "messages": ASKED, "tools": TOOLS, "max_tokens": 600, "temperature": 1.5, "seed": seed,
        **fields,
    }  # fmt: skip
    status, answer = server.post("/v1/chat/completions", asked)
    assert status == 200, answer
    return answer["choices"][0]["message"], answer["choices"][0]["finish_reason"]


def check(calls):
    """Check the ids, the names and the arguments of calls."""
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        schema = SCHEMAS[call["function"]["name"]]
        jsonschema.validate(arguments, schema)
        assert list(arguments) == list(schema["properties"])
        assert re.fullmatch("call_[a-z0-9]{8}", call["id"])
    assert len({call["id"] for call in calls}) == len(calls)


@pytest.mark.parametrize("seed", range(6))
def test_a_call_that_is_required_is_made(server, seed):
    message, reason = ask(server, seed, tool_choice="required", reasoning_effort="none")
    check(message["tool_calls"])
    assert reason == "tool_calls"
    assert not message["content"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_tool_that_is_named_is_called_once(server, name):
    chosen = {"type": "function", "function": {"name": name}}
    message, reason = ask(server, tool_choice=chosen, reasoning_effort="none")
    check(message["tool_calls"])
    assert ([call["function"]["name"] for call in message["tool_calls"]], reason) == ([name], "tool_calls")


def test_a_required_call_comes_behind_the_thinking(server):
    message, _ = ask(server, tool_choice="required", reasoning_effort="high")
    assert message["reasoning"]
    assert message["tool_calls"]
    check(message["tool_calls"])


def test_calls_that_are_forbidden_are_never_made(server):
    for seed in range(3):
        message, reason = ask(server, seed, tool_choice="none", reasoning_effort="none", logit_bias={str(MARKER): 9})
        assert "tool_calls" not in message
        assert reason in ("stop", "length")


def test_a_call_that_does_not_fit_into_the_budget_is_left_out(server):
    message, reason = ask(server, tool_choice="required", reasoning_effort="none", max_tokens=5)
    assert (message.get("tool_calls"), reason) == (None, "length")


def test_every_call_is_streamed_as_a_whole(server):
    asked = {
        "model": "thinker", "messages": ASKED, "tools": TOOLS, "tool_choice": "required", "stream": True,
        "max_tokens": 600, "temperature": 1.5, "seed": 3, "reasoning_effort": "none",
    }  # fmt: skip
    status, text = server.post("/v1/chat/completions", asked)
    assert status == 200, text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == list(range(len(calls)))
    check(calls)
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_a_model_begins_by_itself_fits_its_tool(server):
    for seed in range(4):
        message, _ = ask(server, seed, logit_bias={str(MARKER): 5}, reasoning_effort="none")
        assert message["tool_calls"]
        check(message["tool_calls"])
        assert "<tool_call>" not in (message["content"] or "")


def test_with_a_format_an_answer_is_a_call_or_the_document(server):
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": DOCUMENT}}
    called = []
    for seed, bias in enumerate((-100, 0, 0, 5, 100)):
        message, reason = ask(
            server, seed, response_format=form, reasoning_effort="none", logit_bias={str(MARKER): bias}
        )
        called.append(reason == "tool_calls")
        if called[-1]:
            check(message["tool_calls"])
        else:
            assert json.loads(message["content"])["n"] in range(10)
            assert "tool_calls" not in message
    assert (called[0], called[-1]) == (False, True)


def test_a_conversation_goes_on_with_the_result_of_a_call(server):
    message, _ = ask(server, tool_choice="required", reasoning_effort="none")
    call = message["tool_calls"][0]
    turns = [*ASKED, message, {"role": "tool", "tool_call_id": call["id"], "content": "a dog"}]
    answer, _ = ask(server, messages=turns, tool_choice="required", reasoning_effort="none")
    check(answer["tool_calls"])


def test_parameters_that_cannot_be_enforced_are_refused_with_the_place(server):
    parameters = {"type": "object", "properties": {"at": {"type": "string", "pattern": "(?<=a)b"}}}
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    status, answer = server.post("/v1/chat/completions", {"model": "thinker", "messages": ASKED, "tools": [tool]})
    assert status == 400
    assert "$.properties.at.pattern" in answer["error"]["message"]


def test_the_error_names_the_tool_too(server):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "string"}}}
    status, answer = server.post("/api/chat", {"model": "thinker", "messages": ASKED, "tools": [tool]})
    assert (status, answer["error"]) == (400, "the parameters of the tool `look` allow no object")


def test_a_model_without_tools_says_so(server):
    status, answer = server.post("/api/chat", {"model": "tiny", "messages": ASKED, "tools": TOOLS})
    assert status == 400
    assert answer["error"] == '"tiny" does not support tools'
