"""OpenAI's tools with a model that really decodes: whatever is sampled, a call is one of a tool that may be called."""

import json

import jsonschema
import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.server.openai_checks import checked

SEEDS = range(6)
ENDS = ("tool_calls", "length")  # a model of random weights calls on and on
SCHEMAS = {
    "weather": {
        "type": "object",
        "required": ["place", "days"],
        "additionalProperties": False,
        "properties": {"place": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "enum": [1, 2, 3]}},
    },
    "clock": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "additionalProperties": False},
}
FUNCTIONS = [{"name": name, "description": f"Tell the {name}.", "parameters": SCHEMAS[name]} for name in SCHEMAS]
CHAT = {
    "model": "thinker",
    "messages": [{"role": "user", "content": "how is it outside?"}],
    "tools": [{"type": "function", "function": function} for function in FUNCTIONS],
    "max_completion_tokens": 400,
    "temperature": 1.5,
}
RESPONSE = {
    "model": "thinker",
    "input": "how is it outside?",
    "tools": [{"type": "function", "strict": True, **function} for function in FUNCTIONS],
    "max_output_tokens": 400,
    "temperature": 1.5,
}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client, **changes):
    raw = client.chat.completions.with_raw_response.create(**{**CHAT, **changes})
    (choice,) = checked(ChatCompletion, json.loads(raw.text)).choices
    return choice


def streamed(client, **changes):
    """Return the calls of a stream, and why it ended."""
    calls, reason = {}, None
    for piece in client.chat.completions.create(**{**CHAT, **changes}, stream=True):
        for call in piece.choices[0].delta.tool_calls or []:
            calls.setdefault(call.index, []).append(call)
        reason = piece.choices[0].finish_reason or reason
    assert sorted(calls) == list(range(len(calls)))
    named = [(parts[0].function.name, "".join(part.function.arguments for part in parts)) for parts in calls.values()]
    return named, reason


def judged(name, arguments):
    jsonschema.validate(json.loads(arguments), SCHEMAS[name])
    return name


@pytest.mark.parametrize("effort", ["none", "low"])
def test_a_call_that_is_required_comes(client, effort):
    for seed in SEEDS:
        choice = ask(client, tool_choice="required", seed=seed, reasoning_effort=effort)
        names = [judged(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
        assert names
        assert choice.finish_reason in ENDS
        assert len({call.id for call in choice.message.tool_calls}) == len(names)


def test_a_stream_has_the_calls_of_the_whole_answer(client):
    for seed in SEEDS:
        whole = ask(client, tool_choice="required", seed=seed)
        calls, reason = streamed(client, tool_choice="required", seed=seed)
        assert calls == [(call.function.name, call.function.arguments) for call in whole.message.tool_calls]
        assert reason == whole.finish_reason


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_the_named_function_is_called_and_no_other(client, name):
    for seed in SEEDS:
        choice = ask(client, tool_choice={"type": "function", "function": {"name": name}}, seed=seed)
        assert {judged(call.function.name, call.function.arguments) for call in choice.message.tool_calls} == {name}


def test_no_function_is_called_where_that_is_forbidden(client):
    for seed in SEEDS:
        choice = ask(client, tool_choice="none", seed=seed)
        assert choice.message.tool_calls is None
        assert "<tool_call>" not in choice.message.content


def test_a_call_that_comes_by_itself_follows_its_schema_too(client):
    for seed in SEEDS:
        for call in ask(client, seed=seed).message.tool_calls or []:
            judged(call.function.name, call.function.arguments)


def test_one_call_at_a_time_where_that_is_asked_for(client):
    for seed in SEEDS:
        choice = ask(client, tool_choice="required", parallel_tool_calls=False, seed=seed)
        assert len(choice.message.tool_calls) == 1


def test_a_call_and_its_result_can_be_sent_back(client):
    said = ask(client, tool_choice="required", seed=1).message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in said.tool_calls]
    choice = ask(client, messages=[*CHAT["messages"], said.to_dict(), *results], tool_choice="none", seed=1)
    assert choice.message.tool_calls is None


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
def test_a_response_calls_what_it_has_to(client, choice):
    for seed in SEEDS:
        body = {**RESPONSE, "tool_choice": choice, "extra_body": {"seed": seed}}
        answer = checked(Response, json.loads(client.responses.with_raw_response.create(**body).text))
        calls = [item for item in answer.output if item.type == "function_call"]
        names = {judged(call.name, call.arguments) for call in calls}
        assert names if choice == "required" else names == {"weather"}
        with client.responses.stream(**body) as running:
            last = list(running)[-1].response
        again = [(item.name, item.arguments) for item in last.output if item.type == "function_call"]
        assert again == [(call.name, call.arguments) for call in calls]


def test_a_model_thinks_before_an_answer_that_follows_a_schema(client):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "n", "schema": {**schema, "additionalProperties": False}}}
    thoughts = set()
    for seed in SEEDS:
        choice = ask(client, tools=openai.omit, response_format=format_, reasoning_effort="high", seed=seed)
        jsonschema.validate(json.loads(choice.message.content), schema)
        thoughts.add(choice.message.reasoning)
    assert len(thoughts) > 1


def test_thoughts_are_not_among_the_logprobs_of_the_text(client):
    body = {"tools": openai.omit, "response_format": {"type": "regex", "pattern": "yes|no"}, "reasoning_effort": "low"}
    body |= {"logprobs": True, "seed": 1, "max_completion_tokens": 60}
    whole = client.chat.completions.create(**{**CHAT, **body})
    likely = whole.choices[0].logprobs.content
    assert whole.choices[0].message.reasoning
    assert "".join(one.token for one in likely).endswith(whole.choices[0].message.content)
    thoughts = whole.usage.completion_tokens_details.reasoning_tokens
    assert thoughts > 0
    assert len(likely) <= whole.usage.completion_tokens - thoughts
    pieces = client.chat.completions.create(**{**CHAT, **body}, stream=True)
    found = [choice.logprobs.content for piece in pieces for choice in piece.choices if choice.logprobs]
    assert [one.token for part in found for one in part] == [one.token for one in likely]
