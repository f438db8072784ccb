"""Requests that wait, that are too many, and that ask for more than the model does."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from olpipe.errors import Busy, UsageError
from olpipe.generation import FinishReason, GenerateRequest, Guidance, Tool
from olpipe.messages import Message, ToolCallPart
from olpipe.testing.images import decoded


def ask(text: str) -> GenerateRequest:
    return GenerateRequest("echo", (Message.of("user", text),))


def outcome(stream) -> str:
    try:
        return stream.completion().text
    except Busy as error:
        assert (error.http_status, error.exit_code) == (503, 4)
        assert error.message == "`echo:latest` is busy: 32 requests wait for it"
        assert error.hint == "try again in a moment, or raise OLLAMA_MAX_QUEUE"
        return "busy"


def test_of_two_hundred_requests_for_thirty_two_places_each_is_answered_or_told_that_it_is_one_too_many(
    start, add_echo, until
):
    add_echo(options='{"endless_on": "endless"}')
    engine = start(max_queue=32)
    running = engine.submit(ask("endless"))
    words = iter(running)
    next(words)
    until(lambda: engine.loaded()[0].waiting == 0)
    with ThreadPoolExecutor(20) as pool:
        streams = list(pool.map(lambda number: engine.submit(ask(f"{number}")), range(200)))
    running.cancel()
    outcomes = [outcome(stream) for stream in streams]
    answered = [number for number, text in enumerate(outcomes) if text == f"{number}"]
    assert len(answered) == 32
    assert outcomes.count("busy") == 168


def test_two_hundred_requests_that_come_while_the_model_loads_are_no_more_than_its_places(start, add_echo, gate):
    add_echo(options='{"build_s": 0.01, "slots": 4}')
    engine = start(gate, max_queue=32)
    first = engine.submit(ask("first"))
    gate.wait_for_report()
    streams = [engine.submit(ask(f"{number}")) for number in range(199)]
    load = engine.load("echo")  # it takes no place
    gate.open()
    assert first.completion().text == "first"
    assert [outcome(stream) for stream in streams] == [f"{number}" for number in range(31)] + ["busy"] * 168
    assert load.result().slots == 4


def test_a_request_that_is_cancelled_leaves_its_place_to_another(start, add_echo, gate):
    add_echo(options='{"build_s": 0.01}')
    engine = start(gate, max_queue=1)
    first = engine.submit(ask("first"))
    gate.wait_for_report()
    with pytest.raises(Busy):
        engine.submit(ask("too many")).completion()
    first.cancel()
    second = engine.submit(ask("second"))
    gate.open()
    assert second.completion().text == "second"


def test_a_queue_without_an_end_takes_every_request(start, add_echo, gate):
    add_echo(options='{"build_s": 0.01, "slots": 8}')
    engine = start(gate, max_queue=0)
    streams = [engine.submit(ask(f"{number}")) for number in range(600)]
    gate.open()
    assert [outcome(stream) for stream in streams] == [f"{number}" for number in range(600)]


def test_clients_whose_requests_waited_for_the_model_are_served_in_turns(start, add_echo, gate):
    add_echo(options='{"build_s": 0.01}')
    engine = start(gate)
    many = [engine.submit(ask("many"), client="batch") for _ in range(20)]
    one = engine.submit(ask("one"), client="alice")
    gate.open()
    assert one.completion().text == "one"
    assert engine.loaded()[0].active > 0
    assert {stream.completion().text for stream in many} == {"many"}


def test_words_keep_coming_while_a_long_prompt_is_prepared(engine, add_echo):
    add_echo(options='{"slots": 2, "endless_on": "endless", "slow_on": "slow", "prepare_s": 30}')
    words = iter(engine.submit(ask("endless")))
    next(words)
    slow = engine.submit(ask("slow"))
    assert [next(words).text for _ in range(300)] == ["endless"] * 300
    slow.cancel()
    assert slow.completion().finish_reason is FinishReason.CANCELLED  # it had not even been prepared


@pytest.mark.parametrize(
    ("lacks", "change", "message"),
    [
        ("guidance", {"guidance": Guidance("json")}, "`echo` cannot hold its answer to a format"),
        ("sees", {"messages": (Message.of("user", "a", decoded()),)}, "model `echo` cannot see images"),
        ("generates", {}, "`echo` does not write answers, it makes embeddings"),
    ],
)
def test_what_a_model_does_not_do_is_refused(engine, add_echo, lacks, change, message):
    add_echo(options=f'{{"{lacks}": false}}')
    with pytest.raises(UsageError) as caught:
        engine.submit(replace(ask("a"), **change)).completion()
    assert caught.value.message == message


def test_thinking_and_tool_calls_travel(engine, add_echo):
    add_echo()
    tools = tuple(Tool(name, "", "{}") for name in ("weather", "stocks", "clock"))
    request = replace(ask("weather and clock"), tools=tools, think="on")
    chunks = list(engine.submit(request))
    assert [chunk.thinking for chunk in chunks] == ["Hm.", "", "", "", ""]
    assert "".join(chunk.text for chunk in chunks) == "weather and clock"
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS
    assert chunks[-1].tool_calls == (ToolCallPart("call_0", "weather", "{}"), ToolCallPart("call_1", "clock", "{}"))
    completion = engine.submit(request).completion()
    assert (completion.thinking, completion.tool_calls) == ("Hm.", chunks[-1].tool_calls)
