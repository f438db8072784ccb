"""OpenAI's responses, asked for with OpenAI's own client. Its types validate every body and every event."""

import json

import openai
import pytest
from openai.types.responses import Response

from tests.server.openai_checks import checked, checked_event, data_url, events

ASK = {"model": "tiny", "input": "the cat", "max_output_tokens": 6, "temperature": 0}
PATH = "/v1/responses"


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client, **changes):
    return checked(Response, json.loads(client.responses.with_raw_response.create(**{**ASK, **changes}).text))


def stream(server, **changes):
    """Return the events of a stream, after the client's types have seen them."""
    found = events(server, PATH, {**ASK, **changes})
    assert [name for name, _ in found] == [data["type"] for _, data in found]
    checked_events = [checked_event(data) for _, data in found]
    assert [event.sequence_number for event in checked_events] == list(range(len(found)))
    return checked_events


def test_a_response_has_every_field_that_the_client_expects(client):
    raw = json.loads(client.responses.with_raw_response.create(**ASK).text)
    assert set(Response.model_fields) - set(raw) == set()
    answer = checked(Response, raw)
    assert (answer.object, answer.model, answer.error, answer.store) == ("response", "tiny", None, False)
    assert answer.id.startswith("resp_")
    assert (answer.temperature, answer.top_p, answer.max_output_tokens) == (0, 1, 6)
    assert (answer.tool_choice, answer.tools, answer.truncation, answer.text.format.type) == (
        "auto", [], "disabled", "text",
    )  # fmt: skip
    (message,) = answer.output
    assert (message.type, message.role, message.content[0].type) == ("message", "assistant", "output_text")
    assert answer.usage.output_tokens == 6
    assert answer.usage.total_tokens == answer.usage.input_tokens + 6


def test_a_response_that_ends_by_its_limit_is_incomplete(server, client):
    answer = ask(client)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (answer.output[0].status, answer.completed_at) == ("incomplete", None)
    assert stream(server)[-1].type == "response.incomplete"


def test_a_response_that_ends_by_itself_is_complete(server, client):
    format_ = {"format": {"type": "regex", "pattern": "yes|no"}}
    answer = server.post(PATH, {**ASK, "text": format_})[1]
    assert (answer["status"], answer["incomplete_details"]) == ("completed", None)
    assert answer["completed_at"] >= answer["created_at"]
    assert answer["output"][0]["status"] == "completed"


def test_the_events_come_in_their_order(server):
    found = stream(server)
    types = [event.type for event in found]
    deltas = types.count("response.output_text.delta")
    assert types == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert deltas > 1
    text = "".join(event.delta for event in found if event.type == "response.output_text.delta")
    done = {event.type: event for event in found}
    assert done["response.output_text.done"].text == done["response.content_part.done"].part.text == text
    assert done["response.output_item.done"].item == done["response.incomplete"].response.output[0]
    assert {event.item_id for event in found if hasattr(event, "item_id")} == {found[2].item.id}
    assert [event.response.status for event in found[:2]] == ["in_progress", "in_progress"]
    assert len({event.response.id for event in found if hasattr(event, "response")}) == 1


def test_a_stream_says_the_same_as_the_whole_response(server, client):
    whole, last = ask(client), stream(server)[-1].response
    assert last.output_text == whole.output_text
    assert last.usage.to_dict() | {"input_tokens_details": None} == whole.usage.to_dict() | {
        "input_tokens_details": None
    }
    with client.responses.stream(**ASK) as running:
        assert (
            "".join(event.delta for event in running if event.type == "response.output_text.delta") == whole.output_text
        )


def test_what_was_asked_is_repeated(client):
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}
    answer = ask(
        client, instructions="be brief", metadata={"a": "b"}, tools=[tool], tool_choice="none", truncation="auto",
        reasoning={"effort": "none"}, parallel_tool_calls=False, top_p=0.5, user="somebody", prompt_cache_key="key",
    )  # fmt: skip
    assert (answer.instructions, answer.metadata, answer.truncation) == ("be brief", {"a": "b"}, "auto")
    assert (answer.tool_choice, answer.parallel_tool_calls, answer.top_p) == ("none", False, 0.5)
    assert (answer.user, answer.prompt_cache_key, answer.reasoning.effort) == ("somebody", "key", "none")
    assert [(one.name, one.strict) for one in answer.tools] == [("f", True)]


def test_input_may_be_a_text_or_items(client):
    text = ask(client)
    for item in (
        {"role": "user", "content": "the cat"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "the cat"}]},
    ):
        answer = ask(client, input=[item])
        assert (answer.output_text, answer.usage.input_tokens) == (text.output_text, text.usage.input_tokens)
    items = [
        {"role": "user", "content": "the dog"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a dog", "annotations": []}]},
        {"role": "user", "content": "the cat"},
    ]
    assert ask(client, input=items).usage.input_tokens > text.usage.input_tokens
    assert ask(client, instructions="be brief").usage.input_tokens > text.usage.input_tokens


def test_a_photo_reaches_the_model(client):
    def ask_about(url):
        parts = [{"type": "input_text", "text": "what is it?"}, {"type": "input_image", "image_url": url}]
        answer = ask(
            client, model="seer", input=[{"role": "user", "content": parts}], max_output_tokens=1,
            include=["message.output_text.logprobs"],
        )  # fmt: skip
        return answer.output[0].content[0].logprobs[0].logprob

    assert ask_about(data_url(64, 32)) != pytest.approx(ask_about(data_url(32, 64)), abs=1e-4)


def test_logprobs_come_where_they_are_asked_for(server, client):
    more = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    found = ask(client, **more).output[0].content[0].logprobs
    assert (len(found), len(found[0].top_logprobs)) == (6, 2)
    deltas = [event for event in stream(server, **more) if event.type == "response.output_text.delta"]
    assert [one.token for event in deltas for one in event.logprobs] == [one.token for one in found]
    assert ask(client).output[0].content[0].logprobs == []


def test_a_prompt_that_is_too_long_is_refused_unless_it_may_be_cut(server, client):
    long = [{"role": "user", "content": "the cat and the dog " * 40} for _ in range(40)]
    status, body = server.post(PATH, {**ASK, "input": long})
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    answer = ask(client, input=long, truncation="auto")
    assert answer.truncated is True
    assert answer.truncated_tokens > 0


def item(**values):
    return {"input": [values]}


def parts(*found):
    return item(role="user", content=list(found))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input": None}, "`input` is missing"),
        ({"input": []}, "`input` is missing"),
        ({"input": 3}, "`input` must be a text, or a list of items"),
        ({"model": ""}, "model is required"),
        ({"previous_response_id": "resp_1"}, "`previous_response_id` is not supported (nothing is stored here"),
        ({"conversation": "conv_1"}, "`conversation` is not supported"),
        ({"conversation": {"id": "conv_1"}}, "`conversation` is not supported"),
        ({"prompt": {"id": "pmpt_1"}}, "`prompt` is not supported"),
        ({"background": True}, "`background` is not supported"),
        ({"truncation": "always"}, "`truncation` cannot be `always`"),
        (parts({"type": "input_file", "file_id": "f"}), "file inputs are not currently supported"),
        (
            parts({"type": "input_image", "file_id": "f"}),
            "`input[0].content[0].image_url` is missing (files are not st",
        ),
        (item(type="item_reference", id="msg_1"), "`input[0].type` is `item_reference`, but nothing is stored here"),
        (item(type="computer_call"), "`input[0].type` cannot be `computer_call`"),
        (item(type="function_call", call_id="c", name="f", arguments="["), "`input[0].arguments` is not valid JSON"),
        (item(type="function_call", call_id="c", arguments="{}"), "`input[0].name` is missing"),
        ({"tools": [{"type": "web_search"}]}, "`tools[0].type` cannot be `web_search`: only functions are supported"),
        ({"tool_choice": "required"}, "`tool_choice` is `required`, but there are no tools"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "`text.format.schema` is missing"),
        ({"reasoning": {"effort": "high"}}, '"tiny" does not support thinking'),
        ({"max_output_tokens": 0}, "`max_output_tokens` cannot be 0"),
    ],
)
def test_what_cannot_be_done_is_refused(server, changes, told):
    status, body = server.post(PATH, {**ASK, **changes})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error"), body
    assert told in body["error"]["message"]
