"""The bodies of Anthropic's API as questions."""

import base64

import pytest

from olpipe.generation import ToolChoice
from olpipe.messages import TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import EncodedImage, Turn
from olpipe.server.refusal import Refusal
from olpipe.server.wire.anthropic import read_message, read_prompt

DATA = base64.b64encode(b"a photo").decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": DATA}}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def read(*said, **body):
    return read_message(Fields({"model": "tiny", "max_tokens": 5, "messages": list(said), **body}))


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def text(said):
    return {"type": "text", "text": said}


HELLO = user(text("hello"))


def test_blocks_keep_their_order():
    turns = read(user(text("look:"), IMAGE, text("what is it?"))).turns
    assert turns == (Turn("user", (TextPart("look:"), EncodedImage(b"a photo"), TextPart("what is it?"))),)


def test_an_image_may_be_elsewhere():
    source = {"type": "url", "url": "http://localhost/cat.jpg"}
    assert read(user({"type": "image", "source": source})).images == [EncodedImage(b"", source["url"])]


def test_results_of_tools_are_turns_of_their_own():
    called = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "redacted_thinking", "data": "y"},
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"place": "here"}},
            {"type": "tool_use", "id": "b", "name": "clock", "input": {}},
        ],
    }  # fmt: skip
    results = user(
        {"type": "tool_result", "tool_use_id": "b", "content": "noon"},
        {"type": "tool_result", "tool_use_id": "a", "content": [text("rain"), IMAGE, text("and wind")]},
        {"type": "tool_result", "tool_use_id": "?", "is_error": True, "content": "no such call"},
        text("so?"),
    )
    assert read(HELLO, called, results).turns[1:] == (
        Turn(
            "assistant",
            (ThinkingPart("Hm."), ToolCallPart("a", "weather", '{"place":"here"}'), ToolCallPart("b", "clock", "{}")),
        ),
        Turn("tool", (ToolResultPart("b", "clock", "noon"),)),
        Turn("tool", (ToolResultPart("a", "weather", "rain\nand wind"), EncodedImage(b"a photo"))),
        Turn("tool", (ToolResultPart("?", "", "Error: no such call"),)),
        Turn("user", (TextPart("so?"),)),
    )


def test_a_document_of_plain_text_is_text():
    source = {"type": "text", "media_type": "text/plain", "data": "It rains."}
    document = {"type": "document", "title": "Weather", "source": source}
    assert read(user(document)).turns == (Turn("user", (TextPart("Weather\nIt rains."),)),)


@pytest.mark.parametrize(
    ("body", "think"),
    [
        ({}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "on"),
        ({"thinking": {"type": "disabled"}}, "off"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "xhigh"}}, "max"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "off"),
    ],
)
def test_thinking_has_levels(body, think):
    assert read(HELLO, **body).wishes.think == think


@pytest.mark.parametrize(
    ("choice", "read_as"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "weather"}, ToolChoice("required", "weather")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_a_choice_of_tools_is_read(choice, read_as):
    question = read(HELLO, tools=[TOOL], tool_choice=choice)
    assert question.wishes.tool_choice == read_as
    assert ("tools" in question.needs) == (read_as.mode != "none")


@pytest.mark.parametrize("kind", ["auto", "any"])
def test_a_client_may_want_one_call_at_a_time(kind):
    for more, parallel in (({}, True), ({"disable_parallel_tool_use": True}, False)):
        question = read(HELLO, tools=[TOOL], tool_choice={"type": kind, **more})
        assert question.wishes.tool_choice.parallel is parallel


def test_what_is_not_said_stays_as_the_model_has_it():
    assert read(HELLO).wishes.sampling == {"max_tokens": 5}


def test_a_schema_may_be_where_older_clients_put_it():
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    held = read(HELLO, output_config={"format": schema}).wishes.held_to
    assert read(HELLO, output_format=schema).wishes.held_to == held
    assert held.kind == "json_schema"


def test_a_prompt_needs_no_limit():
    assert read_prompt(Fields({"model": "tiny", "messages": [HELLO]})).turns == read(HELLO).turns


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"system": [IMAGE]}, "`system[0].type` must be `text`"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "`messages[0].role` must be one of user, assistant"),
        ({"messages": [{"role": "user"}]}, "`messages[0].content` is missing"),
        ({"messages": [user({"type": "x"})]}, "`messages[0].content[0].type` cannot be `x`"),
        (
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "x"}})]},
            "invalid image source type: file. Only base64 images are supported.",
        ),
        ({"messages": [user({"type": "image"})]}, "invalid image source type: ."),
        (
            {"messages": [user({"type": "document", "source": {"type": "base64", "data": DATA}})]},
            "`messages[0].content[0].source.type` cannot be `base64`",
        ),
        (
            {"messages": [user({"type": "tool_result", "content": [{"type": "tool_use"}]})]},
            "`messages[0].content[0].content[0].type` cannot be `tool_use`",
        ),
        ({"tools": [{"input_schema": {}}]}, "`tools[0].name` is missing"),
        ({"tools": [{"name": "x"}]}, "`tools[0].input_schema` is missing"),
        ({"tools": [TOOL], "tool_choice": {"type": "x"}}, "`tool_choice.type` cannot be `x`"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "`tool_choice.name` is `x`"),
        ({"top_p": 1.5}, "`top_p` cannot be 1.5: it must be between 0 and 1"),
        ({"top_k": -1}, "`top_k` cannot be -1"),
    ],
)
def test_what_is_wrong_is_named(body, told):
    with pytest.raises(Refusal) as raised:
        read(HELLO, **body)
    assert raised.value.status == 400
    assert raised.value.message.startswith(told)
