"""Anthropic's messages with a model whose answers are known: it repeats what it is told, thinks and calls tools."""

import asyncio

import anthropic
import pytest

from tests.server.echoing import echo_server

ASK = {"model": "echo", "max_tokens": 50}
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("weather", "clock")]


@pytest.fixture(scope="module")
def echoing(tmp_path_factory):
    with echo_server(tmp_path_factory.mktemp("echo"), fail_on="poison", slots=4) as started:
        yield started


@pytest.fixture
def client(echoing):
    with anthropic.Anthropic(base_url=echoing.url, api_key="none", max_retries=0) as client:
        yield client


def asked(text, **more):
    return {**ASK, "messages": [{"role": "user", "content": text}], **more}


def blocks(message):
    return [block.to_dict() for block in message.content]


def test_thoughts_text_and_calls_are_blocks_of_their_own(client):
    request = asked("the weather and the clock", tools=TOOLS)
    whole = client.messages.create(**request)
    thoughts, text, *calls = blocks(whole)
    assert (thoughts["thinking"], text["text"]) == ("Hm.", "the weather and the clock")
    assert [(call["name"], call["input"]) for call in calls] == [("weather", {}), ("clock", {})]
    assert whole.stop_reason == "tool_use"
    with client.messages.stream(**request) as running:
        assert "".join(running.text_stream) == "the weather and the clock"
        streamed = running.get_final_message()
    assert blocks(streamed) == blocks(whole)
    assert (streamed.stop_reason, streamed.usage) == (whole.stop_reason, whole.usage)


def test_an_answer_can_be_sent_back(client):
    first = client.messages.create(**asked("the weather and the clock", tools=TOOLS))
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.name} says rain"}
        for block in first.content if block.type == "tool_use"
    ]  # fmt: skip
    messages = [{"role": "user", "content": "the weather"}, first.to_param(), {"role": "user", "content": results}]
    second = client.messages.create(**ASK, messages=messages, thinking={"type": "disabled"})
    assert blocks(second) == [{"type": "text", "text": "clock says rain"}]
    assert second.stop_reason == "end_turn"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_failing_answer_is_an_error(client, streamed):
    with pytest.raises(anthropic.APIStatusError) as raised:
        for _ in client.messages.create(**asked("some poison here", thinking={"type": "disabled"}), stream=streamed):
            pass
    body = anthropic.types.ErrorResponse.model_validate(raised.value.body)
    assert (body.error.type, raised.value.status_code) == ("api_error", 200 if streamed else 500)
    assert "echo fails as told" in body.error.message
    assert body.request_id == raised.value.request_id


def test_clients_may_wait_without_a_thread(echoing):
    async def ask(client, text):
        async with client.messages.stream(**asked(text)) as running:
            return await running.get_final_text()

    async def ask_all():
        async with anthropic.AsyncAnthropic(base_url=echoing.url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, f"say {number}") for number in range(8)))

    assert asyncio.run(ask_all()) == [f"say {number}" for number in range(8)]
