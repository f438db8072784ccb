"""Chunks of answers as messages and events, which the types of Anthropic's client validate."""

import json

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from olpipe.errors import BackendCrashed
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage
from olpipe.messages import ToolCallPart
from olpipe.server.wire.anthropic_answers import MessageEvents, failed, message

EVENT = TypeAdapter(RawMessageStreamEvent)
CALLS = (ToolCallPart("call_1", "weather", '{"place":"street"}'), ToolCallPart("call_2", "clock", "{}"))
USAGE = Usage(prompt_tokens=10, sampled_tokens=3, forced_tokens=4, thinking_tokens=2)
END = {"usage": USAGE, "timings": Timings(reused_tokens=6)}


def events(*chunks):
    """Return the events of chunks, each of them validated."""
    said = MessageEvents("tiny")
    blocks = b"".join(said.write((chunk,)) for chunk in chunks).decode().removesuffix("\n\n").split("\n\n")
    found = []
    for block in blocks:
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
        EVENT.validate_python(found[-1])
    return found


def shape(*chunks):
    """Return what happens in a stream, in short."""
    said = []
    for event in events(*chunks):
        if event["type"] == "content_block_start":
            said.append(f"{event['index']} {event['content_block']['type']}")
        elif event["type"] == "content_block_delta":
            said.append(event["delta"]["type"])
        elif event["type"] == "content_block_stop":
            said.append(f"{event['index']} end")
        else:
            said.append(event["type"])
    return said


def test_every_part_of_an_answer_is_a_block():
    said = shape(
        Chunk(thinking="Hm"), Chunk(thinking="."), Chunk("the "), Chunk("cat"), Chunk(tool_calls=CALLS),
        Chunk(finish_reason=FinishReason.TOOL_CALLS, **END),
    )  # fmt: skip
    assert said == [
        "message_start",
        "0 thinking", "thinking_delta", "thinking_delta", "signature_delta", "0 end",
        "1 text", "text_delta", "text_delta", "1 end",
        "2 tool_use", "input_json_delta", "2 end",
        "3 tool_use", "input_json_delta", "3 end",
        "message_delta", "message_stop",
    ]  # fmt: skip


def test_one_chunk_may_have_all_parts():
    said = shape(Chunk("the cat", "Hm.", CALLS[:1], FinishReason.TOOL_CALLS, **END))
    kinds = [one for one in said if one[0].isdecimal()]
    assert kinds == ["0 thinking", "0 end", "1 text", "1 end", "2 tool_use", "2 end"]


def test_a_stream_is_the_message_in_pieces():
    completion = Completion("the cat", FinishReason.TOOL_CALLS, thinking="Hm.", tool_calls=CALLS, **END)
    whole = message("tiny", completion)
    Message.model_validate(whole)
    last = Chunk("", "", CALLS, completion.finish_reason, **END)
    found = events(Chunk(thinking="Hm"), Chunk(thinking="."), Chunk("the cat"), last)
    blocks = []
    for event in found:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "partial": ""})
        if event["type"] == "content_block_delta":
            for name, value in event["delta"].items():
                if name == "partial_json":
                    blocks[-1]["input"] = json.loads(value)
                elif name != "type":
                    blocks[-1][name] += value
    assert [{**block, "partial": ""} for block in whole["content"]] == blocks
    assert found[-2]["usage"] == whole["usage"]
    assert found[-2]["delta"] == {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}


def test_thoughts_have_a_signature():
    thoughts = Completion("", FinishReason.LENGTH, thinking="Hm.", **END)
    (block,) = message("tiny", thoughts)["content"]
    assert block["signature"].startswith("sha256:")


def test_an_empty_answer_has_an_empty_text():
    assert message("tiny", Completion("", FinishReason.STOP, **END))["content"] == [{"type": "text", "text": ""}]
    assert shape(Chunk(finish_reason=FinishReason.STOP, **END))[1:3] == ["0 text", "0 end"]


@pytest.mark.parametrize(
    ("reason", "stopped_by", "told"),
    [
        (FinishReason.STOP, "", ("end_turn", None)),
        (FinishReason.STOP, "END", ("stop_sequence", "END")),
        (FinishReason.LENGTH, "", ("max_tokens", None)),
        (FinishReason.TOOL_CALLS, "", ("tool_use", None)),
        (FinishReason.TOOL_CALLS, "END", ("tool_use", None)),
    ],
)
def test_the_reason_why_an_answer_ended_is_told(reason, stopped_by, told):
    whole = message("tiny", Completion("the cat", reason, stopped_by=stopped_by, **END))
    assert (whole["stop_reason"], whole["stop_sequence"]) == told


def test_tokens_of_the_prompt_are_counted_once():
    usage = message("tiny", Completion("", FinishReason.STOP, **END))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (4, 6, 7)
    assert usage["output_tokens_details"] == {"thinking_tokens": 2}


def test_a_pause_is_a_ping():
    said = MessageEvents("tiny")
    assert said.write(()).decode().split("\n\n")[1] == 'event: ping\ndata: {"type":"ping"}'
    assert said.write(()) == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_an_error_ends_a_stream():
    expected = {
        "type": "error", "error": {"type": "overloaded_error", "message": "the process died"},
        "request_id": "req_1",
    }  # fmt: skip
    name, data = failed(BackendCrashed("the process died"), "req_1").decode().strip().split("\n")
    assert (name, json.loads(data.removeprefix("data: "))) == ("event: error", expected)
