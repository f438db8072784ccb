"""OpenAI's bodies as questions: what the model is asked in the end."""

from dataclasses import replace

import pytest

from olpipe.messages import TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.wire.openai_chat import read_chat
from olpipe.server.wire.openai_completions import read_completion
from olpipe.server.wire.responses_reading import read_responses
from olpipe.testing.echo import echo_bundle

CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
RESPONSE = {"model": "m", "input": "a"}
TEXT = {"model": "m", "prompt": "a"}


def turns(request):
    """Return who says what in a question."""
    return [(turn.role, list(turn.parts)) for turn in request.questions[0].turns]


@pytest.mark.parametrize(("read", "body"), [(read_chat, CHAT), (read_responses, RESPONSE), (read_completion, TEXT)])
def test_sampling_is_openais_unless_the_model_or_the_request_says_otherwise(read, body, tmp_path):
    plain = echo_bundle(tmp_path)
    own = replace(plain, parameters={"temperature": 0.1, "top_p": 0.2})

    def sampling(bundle, **changes):
        (question,) = read(Fields({**body, **changes})).questions
        found = question.wishes.sampling_for(bundle)
        return found.temperature, found.top_p

    assert sampling(plain) == (1.0, 1.0)
    assert sampling(own) == (0.1, 0.2)
    assert sampling(own, temperature=0.5, top_p=0.6) == (0.5, 0.6)


def test_a_prompt_that_is_too_long_may_be_cut_unless_openai_says_otherwise():
    assert read_chat(Fields(CHAT)).questions[0].wishes.truncate is True
    assert read_chat(Fields({**CHAT, "truncate": False})).questions[0].wishes.truncate is False
    assert read_responses(Fields(RESPONSE)).questions[0].wishes.truncate is False
    assert read_responses(Fields({**RESPONSE, "truncation": "auto"})).questions[0].wishes.truncate is True


@pytest.mark.parametrize("seed", [-1, 0, (1 << 64) - 1])
def test_any_seed_is_repeatable(seed):
    seeds = [
        question.wishes.sampling["seed"] for question in read_chat(Fields({**CHAT, "seed": seed, "n": 3})).questions
    ]
    assert seeds == [(seed + at) % (1 << 64) for at in range(3)]
    assert "seed" not in read_chat(Fields({**CHAT, "n": 2})).questions[1].wishes.sampling


def test_field_names_and_roles_may_have_any_case_and_null_is_nothing():
    body = {"Model": "m", "Messages": [{"Role": "USER", "Content": "a"}], "tools": None, "stop": None, "seed": None}
    assert turns(read_chat(Fields(body))) == [("user", [TextPart("a")])]


def test_thoughts_and_calls_of_a_message_are_kept():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'}}
    for arguments in ('{"b": 1, "a": 2}', {"b": 1, "a": 2}):
        call["function"]["arguments"] = arguments
        said = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
        (_, thought_and_call), (role, parts) = turns(read_chat(Fields({"model": "m", "messages": [said, result]})))
        assert thought_and_call[0] == ThinkingPart("hm")
        assert thought_and_call[1].arguments.replace(" ", "") == '{"b":1,"a":2}'
        assert (role, parts) == ("tool", [ToolResultPart("c1", "f", "ok")])


def test_the_items_that_a_model_says_are_one_turn():
    thoughts = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "wait"}]}
    call = {"type": "function_call", "call_id": "c1", "name": "f", "namespace": "n", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "ok"}]}
    found = turns(read_responses(Fields({**RESPONSE, "input": [thoughts, message, call, result, message, message]})))
    assert found == [
        ("assistant", [ThinkingPart("hm"), TextPart("wait"), ToolCallPart("c1", "n.f", "{}")]),
        ("tool", [ToolResultPart("c1", "n.f", "ok")]),
        ("assistant", [TextPart("wait")]),
        ("assistant", [TextPart("wait")]),
    ]


def test_reasoning_of_another_server_is_passed_over():
    encrypted = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    asked = {"role": "user", "content": "a"}
    assert turns(read_responses(Fields({**RESPONSE, "input": [encrypted, asked]}))) == [("user", [TextPart("a")])]


def test_a_function_without_parameters_takes_none():
    (tool,) = read_chat(Fields({**CHAT, "tools": [{"function": {"name": "f"}}]})).questions[0].wishes.tools
    assert tool.parameters == '{"type":"object","properties":{},"additionalProperties":false}'
