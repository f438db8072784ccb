"""OpenAI's APIs with a model whose answers are known: it repeats what it is told, thinks and calls tools."""

import asyncio
import http.client
import json

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from tests.server.echoing import echo_server
from tests.server.openai_checks import checked, checked_event, events

CHAT, RESPONSES, TEXT = "/v1/chat/completions", "/v1/responses", "/v1/completions"
FUNCTIONS = [
    {"name": name, "parameters": {"type": "object", "properties": {}}, "description": f"Tell the {name}."}
    for name in ("weather", "clock")
]
CHAT_TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]
RESPONSE_TOOLS = [{"type": "function", "strict": False, **function} for function in FUNCTIONS]


@pytest.fixture(scope="module")
def echoing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo")
    with echo_server(folder, slots=2, fail_on="poison", endless_on="for ever") as started:
        yield started


@pytest.fixture(scope="module")
def client(echoing):
    with openai.OpenAI(base_url=f"{echoing.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(text, **more):
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def deltas(server, body):
    """Return the deltas of a stream with one answer, and why it ended."""
    pieces = [checked(ChatCompletionChunk, data).choices[0] for _, data in events(server, CHAT, body)[:-1]]
    return [piece.delta.to_dict() for piece in pieces], pieces[-1].finish_reason


def test_thinking_stands_beside_the_text(echoing, client):
    answer = checked(ChatCompletion, client.chat.completions.create(**chat("hello there")).to_dict())
    assert (answer.choices[0].message.content, answer.choices[0].message.reasoning) == ("hello there", "Hm.")
    first, *texts, last = deltas(echoing, chat("hello there"))[0]
    assert first == {"role": "assistant", "content": "", "reasoning": "Hm."}
    assert (texts, last) == ([{"content": "hello"}, {"content": " there"}], {})


def test_no_effort_means_no_thinking(echoing, client):
    answer = client.chat.completions.create(**chat("hello there", reasoning_effort="none"))
    assert "reasoning" not in answer.choices[0].message.to_dict()
    assert deltas(echoing, chat("hello", reasoning={"effort": "none"}))[0][0] == {
        "role": "assistant",
        "content": "hello",
    }


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "ultra", "max"])
def test_every_effort_is_taken(client, effort):
    answer = client.chat.completions.create(**chat("hello there", extra_body={"reasoning_effort": effort}))
    assert answer.choices[0].message.reasoning == "Hm."


def test_calls_come_whole_and_numbered(echoing, client):
    body = chat("the weather and the clock", tools=CHAT_TOOLS)
    (choice,) = checked(ChatCompletion, client.chat.completions.create(**body).to_dict()).choices
    assert [(call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("weather", "{}"), ("clock", "{}"),
    ]  # fmt: skip
    assert choice.finish_reason == "tool_calls"
    pieces, reason = deltas(echoing, body)
    calls = [call for delta in pieces for call in delta.get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 1]
    assert [call["id"] for call in calls] == [call.id for call in choice.message.tool_calls]
    assert reason == "tool_calls"


def test_one_call_at_a_time_where_that_is_asked_for(echoing, client):
    body = chat("the weather and the clock", tools=CHAT_TOOLS, parallel_tool_calls=False)
    (call,) = client.chat.completions.create(**body).choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert [len(delta.get("tool_calls", [])) for delta in deltas(echoing, body)[0]].count(1) == 1
    answer = client.responses.create(
        model="echo", input="the weather and the clock", tools=RESPONSE_TOOLS, parallel_tool_calls=False
    )
    assert [item.name for item in answer.output if item.type == "function_call"] == ["weather"]


def test_a_choice_of_tools_reaches_the_model(client):
    def calls(choice):
        answer = client.chat.completions.create(
            **chat("the weather and the clock", tools=CHAT_TOOLS, tool_choice=choice)
        )
        return [call.function.name for call in answer.choices[0].message.tool_calls or []]

    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "clock"}}]}
    assert calls("none") == []
    assert calls("auto") == ["weather", "clock"]
    assert calls({"type": "allowed_tools", "allowed_tools": allowed}) == ["clock"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("any", "`tool_choice` cannot be `any`: it must be `auto`, `none`, `required`"),
        ({"type": "function", "function": {"name": "wether"}}, "did you mean `weather`?"),
        ({"type": "custom", "custom": {"name": "x"}}, "`tool_choice.type` must be `function` or `allowed_tools`"),
    ],
)
def test_a_choice_that_is_none_of_the_tools_is_refused(client, choice, told):
    with pytest.raises(openai.BadRequestError, match=told.replace("?", r"\?")):
        client.chat.completions.create(**chat("the weather", tools=CHAT_TOOLS, tool_choice=choice))


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([{"type": "function", "function": {}}], "`tools[0].function.name` is missing"),
        ([{"type": "web_search"}], "`tools[0].type` cannot be `web_search`: only functions are supported"),
        (
            [{"type": "function", "function": {"name": "f", "parameters": {"type": "objekt"}}}],
            "parameters`: the schema",
        ),
    ],
)
def test_a_tool_that_cannot_be_called_is_refused(echoing, tools, told):
    status, body = echoing.post(CHAT, chat("the weather", tools=tools))
    assert (status, told in body["error"]["message"]) == (400, True), body


def test_a_result_finds_the_name_of_its_function(client):
    first = client.chat.completions.create(**chat("the weather", tools=CHAT_TOOLS)).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": [{"type": "text", "text": "rain"}]}
    messages = [{"role": "user", "content": "the weather"}, first.to_dict(), result]
    answer = client.chat.completions.create(**{**chat(""), "messages": messages}, reasoning_effort="none")
    assert answer.choices[0].message.content == "rain"


def test_all_parts_of_a_message_stay_one_message(client):
    parts = [{"type": "text", "text": text} for text in ("one", "two", "three")]
    assert client.chat.completions.create(**chat(parts)).choices[0].message.content == "one two three"


def test_an_error_in_the_middle_of_a_stream_is_told(echoing, client):
    text = "some poison here"
    for pieces in (
        client.chat.completions.create(**chat(text, reasoning_effort="none"), stream=True),
        client.completions.create(model="echo", prompt=text, stream=True),
    ):
        assert next(pieces).choices[0]
        with pytest.raises(openai.APIError, match="echo fails as told"):
            list(pieces)
    *_, (_, last) = events(echoing, TEXT, {"model": "echo", "prompt": text})
    assert set(last["error"]) == {"message", "type", "param", "code"}


def test_a_model_that_dies_in_the_middle_of_a_stream_is_told_and_the_next_request_works(tmp_path):
    with echo_server(tmp_path, crash_on="bomb") as server:
        (_, first), *_, (_, last) = events(server, CHAT, chat("some bomb here"))
        assert first["choices"][0]["delta"]["reasoning"] == "Hm."
        assert "ended with exit code 70" in last["error"]["message"]
        _, answer = server.post(CHAT, chat("done"))
        assert answer["choices"][0]["message"]["content"] == "done"


def test_a_response_that_fails_says_so_in_its_last_event(echoing):
    body = {"model": "echo", "input": "some poison here", "reasoning": {"effort": "none"}}
    found = [checked_event(data) for _, data in events(echoing, RESPONSES, body)]
    assert [found[0].type, found[-1].type] == ["response.created", "response.failed"]
    assert (found[-1].response.status, found[-1].response.error.code) == ("failed", "server_error")
    assert "echo fails as told" in found[-1].response.error.message
    assert [item.status for item in found[-1].response.output] == ["incomplete"]
    assert [event.sequence_number for event in found] == list(range(len(found)))


@pytest.mark.parametrize("path", [CHAT, RESPONSES, TEXT])
def test_an_error_before_the_first_piece_has_a_status_of_its_own(echoing, path):
    long = "word " * 5000
    body = {CHAT: chat(long, truncate=False), RESPONSES: {"model": "echo", "input": long}}
    body[TEXT] = {"model": "echo", "prompt": long, "truncate": False}
    for stream in (False, True):
        status, told = echoing.post(path, {**body[path], "stream": stream})
        assert (status, told["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("path", [CHAT, RESPONSES, TEXT])
@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_frees_the_place(echoing, path, stream):
    """The model has two places and the answers never end, so the last question is answered only if both are free."""
    text = "say it for ever"
    body = {CHAT: chat(text), RESPONSES: {"model": "echo", "input": text}, TEXT: {"model": "echo", "prompt": text}}
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", echoing.port, timeout=60)
        connection.request("POST", path, json.dumps({**body[path], "stream": stream}))
        if stream:
            connection.getresponse().readline()
        connection.close()
    _, answer = echoing.post(CHAT, chat("done", reasoning_effort="none"))
    assert answer["choices"][0]["message"]["content"] == "done"


def test_who_leaves_frees_the_places_of_all_answers(echoing):
    connection = http.client.HTTPConnection("127.0.0.1", echoing.port, timeout=60)
    connection.request("POST", CHAT, json.dumps(chat("say it for ever", n=5, stream=True)))
    connection.getresponse().readline()
    connection.close()
    _, answer = echoing.post(CHAT, chat("done", reasoning_effort="none"))
    assert answer["choices"][0]["message"]["content"] == "done"


def test_clients_may_wait_without_a_thread(echoing):
    async def ask(client, text):
        pieces = await client.chat.completions.create(**chat(text), stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in pieces])

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{echoing.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, f"say {number}") for number in range(8)))

    assert asyncio.run(ask_all()) == [f"say {number}" for number in range(8)]


def test_one_failing_answer_of_several_ends_the_others(echoing):
    status, told = echoing.post(CHAT, chat("some poison here", n=3))
    assert (status, told["error"]["type"]) == (500, "api_error")
    *_, (_, last) = events(echoing, CHAT, chat("some poison here", n=3))
    assert "echo fails as told" in last["error"]["message"]


def test_a_response_thinks_speaks_and_calls(echoing, client):
    body = {"model": "echo", "input": "the weather and the clock", "tools": RESPONSE_TOOLS}
    raw = client.responses.with_raw_response.create(**body)
    whole = checked(Response, json.loads(raw.text))
    thoughts, message, *calls = whole.output
    assert thoughts.summary[0].text == "Hm."
    assert (whole.output_text, message.status) == ("the weather and the clock", "completed")
    assert [(call.name, call.arguments, call.status) for call in calls] == [
        ("weather", "{}", "completed"), ("clock", "{}", "completed"),
    ]  # fmt: skip
    with client.responses.stream(**body) as running:
        streamed = running.get_final_response()
    assert [item.type for item in streamed.output] == ["reasoning", "message", "function_call", "function_call"]
    assert streamed.output_text == whole.output_text
    assert streamed.usage == whole.usage


def test_the_items_of_a_response_can_be_sent_back(client):
    first = client.responses.create(model="echo", input="the weather", tools=RESPONSE_TOOLS)
    call = first.output[-1]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    sent = [{"role": "user", "content": "the weather"}, *(item.to_dict() for item in first.output), result]
    second = client.responses.create(model="echo", input=sent, reasoning={"effort": "none"})
    assert second.output_text == "rain"


def test_functions_of_a_namespace_come_back_with_it(client):
    spaces = [{"type": "namespace", "name": "home", "description": "At home.", "tools": [RESPONSE_TOOLS[0]]}]
    body = {"model": "echo", "input": "call home.weather now", "tools": spaces}
    answer = checked(Response, json.loads(client.responses.with_raw_response.create(**body).text))
    call = answer.output[-1]
    assert (call.namespace, call.name) == ("home", "weather")
    sent = [call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    assert client.responses.create(model="echo", input=sent).output_text == "rain"
