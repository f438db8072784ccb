"""Anthropic's messages, asked for with Anthropic's own client. Its types validate every body and every event."""

import base64
import itertools
import json

import anthropic
import pydantic
import pytest

from olpipe.testing.images import photo
from tests.server.openai_checks import unknown

MESSAGES = [{"role": "user", "content": "the cat"}]
SAMPLING = {"temperature", "top_k", "top_p"}  # the API has them, and the newest client does not offer them
WEATHER = {
    "name": "weather", "description": "Tell the weather of a place.",
    "input_schema": {
        "type": "object", "required": ["place"], "additionalProperties": False,
        "properties": {"place": {"type": "string", "maxLength": 8}},
    },
}  # fmt: skip
CLOCK = {"name": "clock", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}
OURS = {"truncated", "truncated_messages", "truncated_tokens"}


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def checked(value):
    """Validate what the client took unseen, as its own types say, and return it. Fields that it does not know fail."""
    again = type(value).model_validate(value.to_dict())
    assert unknown(again) - OURS == set()
    return value


def asked(**changes):
    """Return the arguments of a request."""
    body = {"model": "tiny", "max_tokens": 8, "temperature": 0, "messages": MESSAGES, **changes}
    more = {name: body.pop(name) for name in SAMPLING & body.keys()}
    return {**body, "extra_body": more}


def ask(client, **changes):
    return checked(client.messages.create(**asked(**changes)))


def stream(client, **changes):
    """Return the events of a stream, and the message that the client makes of them."""
    with client.messages.create(**asked(**changes), stream=True) as raw:
        events = [checked(event) for event in raw]
    with client.messages.stream(**asked(**changes)) as running:
        return events, running.get_final_message()


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def image(data, kind="image/jpeg"):
    source = {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def test_a_message_is_of_the_shape_that_the_client_expects(client):
    message = ask(client)
    assert (message.type, message.role, message.model) == ("message", "assistant", "tiny")
    assert message.id.startswith("msg_")
    assert [block.type for block in message.content] == ["text"]
    assert text_of(message)
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    assert message.usage.output_tokens == 8


def test_a_stream_has_the_text_of_the_whole_answer(client):
    events, message = stream(client)
    kinds = [kind for kind, _ in itertools.groupby(event.type for event in events)]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert events[0].message.content == []
    assert text_of(message) == text_of(ask(client))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 8)
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 0


def test_texts_may_be_blocks(client):
    said = [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "and"}, *MESSAGES]
    blocks = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in said]
    plain = ask(client, system="in the street", messages=said)
    assert text_of(ask(client, system=[{"type": "text", "text": "in the street"}], messages=blocks)) == text_of(plain)
    assert text_of(ask(client, messages=said)) != text_of(plain)


def test_only_the_likeliest_token_leaves_nothing_to_chance(client):
    for limit in ({"top_k": 1}, {"top_p": 0.0}):
        assert text_of(ask(client, temperature=1, **limit)) == text_of(ask(client))


def test_a_stop_sequence_is_told(client):
    whole = text_of(ask(client))
    stop = whole[len(whole) // 2 :][:2]
    expected = (whole[: whole.index(stop)], "stop_sequence", stop)
    stops = ["never there", stop]
    for message in (ask(client, stop_sequences=stops), stream(client, stop_sequences=stops)[1]):
        assert (text_of(message), message.stop_reason, message.stop_sequence) == expected


def test_tokens_in_the_cache_are_counted_apart(client):
    messages = [{"role": "user", "content": "with a photo of the street and the dog " * 20}]
    first, second = (ask(client, messages=messages).usage for _ in range(2))
    assert second.cache_read_input_tokens > 100
    assert second.cache_creation_input_tokens == 0
    tokens = first.input_tokens + first.cache_read_input_tokens
    assert second.input_tokens + second.cache_read_input_tokens == tokens


def test_a_schema_holds_the_answer(client):
    class Animal(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        legs: int
        tame: bool

    for temperature in (0, 1, 1):
        message = client.messages.parse(**asked(temperature=temperature, max_tokens=64), output_format=Animal)
        assert isinstance(message.parsed_output, Animal)
    held = {"output_config": {"format": {"type": "json_schema", "schema": Animal.model_json_schema()}}}
    assert json.loads(text_of(stream(client, **held, max_tokens=64)[1])).keys() == {"legs", "tame"}


def test_a_photo_reaches_the_model(client):
    def ask_about(*blocks):
        return ask(client, model="seer", messages=[{"role": "user", "content": [*blocks]}]).usage

    what = {"type": "text", "text": "what is it?"}
    sizes = [ask_about(what), ask_about(image(photo(64, 32)), what), ask_about(image(photo(128, 128)), what)]
    tokens = [one.input_tokens + one.cache_read_input_tokens for one in sizes]
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}])
def test_a_model_that_cannot_think_is_not_asked_to(client, thinking):
    assert text_of(ask(client, thinking=thinking, output_config={"effort": "high"})) == text_of(ask(client))


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "any", "disable_parallel_tool_use": True}, {"weather", "clock"}),
        ({"type": "tool", "name": "weather", "disable_parallel_tool_use": True}, {"weather"}),
    ],
)
def test_a_tool_that_has_to_be_called_is_called(client, choice, called):
    request = {"model": "thinker", "max_tokens": 400, "tools": [WEATHER, CLOCK], "tool_choice": choice}
    events, streamed = stream(client, **request)
    for message in (ask(client, **request), streamed):
        assert message.stop_reason == "tool_use"
        (call,) = [block for block in message.content if block.type == "tool_use"]
        assert call.name in called
        assert [*call.input] == (["place"] if call.name == "weather" else [])
    assert any(event.type == "content_block_delta" and event.delta.type == "input_json_delta" for event in events)


def test_no_tool_is_called_where_that_is_forbidden(client):
    message = ask(client, model="thinker", tools=[WEATHER], tool_choice={"type": "none"})
    assert {block.type for block in message.content} <= {"text", "thinking"}


def test_what_a_tool_returned_reaches_the_model(client):
    def ask_after(result):
        call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"place": "street"}}
        messages = [
            {"role": "user", "content": "is it in the street?"}, {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", **result}]},
        ]  # fmt: skip
        return counted(client, model="thinker", tools=[WEATHER], messages=messages)

    rain, much_rain = ask_after({"content": "rain"}), ask_after({"content": "rain and rain and rain"})
    assert ask_after({}) < rain < much_rain
    assert ask_after({"content": [{"type": "text", "text": "rain"}]}) == rain
    assert ask_after({"content": "rain", "is_error": True}) > rain


def counted(client, **changes):
    return checked(client.messages.count_tokens(**{"model": "tiny", "messages": MESSAGES, **changes})).input_tokens


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"system": "in the street"},
        {"model": "thinker", "tools": [WEATHER]},
        {"model": "thinker", "thinking": {"type": "disabled"}},
        {"model": "seer", "messages": [{"role": "user", "content": [image(photo(64, 32))]}]},
    ],
)
def test_tokens_are_counted_as_they_are_read(client, changes):
    usage = ask(client, **changes).usage
    assert counted(client, **changes) == usage.input_tokens + usage.cache_read_input_tokens


def test_a_prompt_that_was_cut_says_so(client):
    messages = [{"role": role, "content": "the dog and " * 100} for role in ("user", "assistant") * 9]
    streamed = [event for event in stream(client, messages=messages)[0] if event.type == "message_delta"]
    for message in (ask(client, messages=messages), *streamed):
        told = message.usage.to_dict()
        assert told["truncated"] is True
        assert told["truncated_messages"] > 0
        assert told["truncated_tokens"] > 0


def test_an_error_is_of_the_kind_that_the_client_knows(client):
    with pytest.raises(anthropic.NotFoundError) as raised:
        ask(client, model="nobody")
    body = anthropic.types.ErrorResponse.model_validate(raised.value.body)
    assert body.error.type == "not_found_error"
    assert body.error.message == "model 'nobody' not found (run `olpipe pull nobody`)"
    assert body.request_id == raised.value.request_id
    assert body.request_id.startswith("req_")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": ""}, "model is required"),
        ({"messages": []}, "messages is required"),
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"max_tokens": 1.5}, "`max_tokens` must be a whole number"),
        ({"temperature": -1}, "`temperature` cannot be -1: it must be between 0 and 100"),
        ({"stop_sequences": [1]}, "`stop_sequences[0]` must be a text"),
        ({"thinking": {"type": "x"}}, "`thinking.type` cannot be `x`"),
        ({"output_config": {"effort": "x"}}, "`output_config.effort` cannot be `x`"),
        ({"output_config": {"format": {"type": "json"}}}, "`output_config.format` must have the type `json_schema`"),
        ({"tools": [WEATHER]}, '"tiny" does not support tools'),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "only Anthropic knows that tool"),
        ({"tool_choice": {"type": "any"}}, "`tool_choice` asks for a call, but there are no `tools`"),
        ({"messages": [{"role": "user", "content": [image(photo())]}]}, "`tiny` cannot see images"),
    ],
)
def test_what_cannot_be_used_is_refused(client, changes, told, streamed):
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(**asked(**changes), stream=streamed)
    body = anthropic.types.ErrorResponse.model_validate(raised.value.body)
    assert body.error.type == "invalid_request_error"
    assert told in body.error.message
