"""Processes that die: who pays for it, and who does not notice."""

import os
import signal
import sys
from dataclasses import replace

import pytest

from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed, UsageError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message

NOT_TRIED = "ended with exit code 70, 3 times in a row$"


def ask(text: str) -> GenerateRequest:
    return GenerateRequest("echo", (Message.of("user", text),))


def pid_of(engine: Engine) -> int:
    (model,) = engine.loaded()
    assert model.pid is not None
    return model.pid


def test_a_crash_costs_the_requests_in_flight_and_the_next_is_answered_by_a_new_process(engine, add_echo):
    add_echo(options='{"crash_on": "bad"}')
    assert engine.submit(ask("good")).completion().text == "good"
    with pytest.raises(BackendCrashed):
        engine.submit(ask("bad word")).completion()
    assert engine.submit(ask("good")).completion().text == "good"


def test_a_crash_costs_nothing_to_requests_that_still_waited(engine, add_echo):
    add_echo(options='{"crash_on": "bad"}')
    bad = engine.submit(ask("bad word"), client="alice")
    waiting = [engine.submit(ask(f"request {number}"), client=f"client {number % 2}") for number in range(6)]
    with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
        bad.completion()
    assert [stream.completion().text for stream in waiting] == [f"request {number}" for number in range(6)]


def test_each_of_several_bad_requests_costs_itself_only(engine, add_echo):
    add_echo(options='{"crash_on": "bad"}')
    streams = [engine.submit(ask(text)) for text in ("bad one", "good", "bad two", "fine", "bad three", "well")]
    answers = []
    for stream in streams:
        try:
            answers.append(stream.completion().text)
        except BackendCrashed:
            answers.append("crashed")
    assert answers == ["crashed", "good", "crashed", "fine", "crashed", "well"]


def test_requests_that_all_kill_the_process_are_not_tried_for_ever(engine, add_echo):
    add_echo(options='{"crash_on": "bad"}')
    streams = [engine.submit(ask(f"bad {number}")) for number in range(6)]
    messages = []
    for stream in streams:
        with pytest.raises(BackendCrashed) as caught:
            stream.completion()
        messages.append(caught.value.message)
    assert all(message.endswith("ended with exit code 70") for message in messages[:3])
    assert all(message.endswith("3 times in a row") for message in messages[3:])


def test_a_process_that_cannot_be_loaded_again_fails_all_that_waited(engine, add_echo, monkeypatch):
    add_echo(options='{"hang_on": "hang"}')
    words = iter(engine.submit(ask("hang now")))
    assert next(words).text == "hang"
    waiting = [engine.submit(ask(text)) for text in ("a", "b", "c")]
    monkeypatch.setattr("olpipe.engine.process.COMMAND", (sys.executable, "-c", "raise SystemExit(70)"))
    os.kill(pid_of(engine), signal.SIGKILL)
    with pytest.raises(BackendCrashed, match="was killed by SIGKILL"):
        next(words)
    for stream in waiting:
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            stream.completion()
    # It was tried once for all of them: the third death is still to come.
    with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
        engine.submit(ask("d")).completion()
    with pytest.raises(BackendCrashed, match=NOT_TRIED):
        engine.submit(ask("e")).completion()


def test_a_request_can_be_cancelled_wherever_it_is_after_a_crash(engine, add_echo):
    add_echo(options='{"hang_on": "hang", "endless_on": "endless"}')
    words = iter(engine.submit(ask("hang now")))
    assert next(words).text == "hang"
    first, second, last = (engine.submit(ask(text)) for text in ("endless one", "endless two", "last"))
    os.kill(pid_of(engine), signal.SIGKILL)
    with pytest.raises(BackendCrashed, match="was killed by SIGKILL"):
        next(words)
    first.cancel()
    assert first.completion().finish_reason is FinishReason.CANCELLED
    words = iter(second)
    assert next(words).text == "endless"
    second.cancel()
    assert second.completion().finish_reason is FinishReason.CANCELLED
    assert last.completion().text == "last"


def test_closing_the_engine_cancels_what_waits_for_another_process(start, add_echo):
    add_echo(options='{"hang_on": "hang"}')
    with start() as engine:
        words = iter(engine.submit(ask("hang now")))
        assert next(words).text == "hang"
        waiting = [engine.submit(ask("hang again")) for _ in range(3)]
        os.kill(pid_of(engine), signal.SIGKILL)
        with pytest.raises(BackendCrashed, match="was killed by SIGKILL"):
            next(words)
    assert {stream.completion().finish_reason for stream in waiting} == {FinishReason.CANCELLED}


def test_a_model_whose_process_dies_again_and_again_is_given_up(engine, add_echo):
    add_echo(options='{"crash_on": "bad"}')
    for _ in range(3):
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            engine.submit(ask("bad word")).completion()
    with pytest.raises(BackendCrashed, match=NOT_TRIED):
        engine.submit(ask("good")).completion()
    assert engine.loaded() == []


def test_a_model_that_crashes_while_it_loads_is_given_up(engine, add_echo):
    add_echo(options='{"crash_on_load": true}')
    for _ in range(3):
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            engine.load("echo").result()
    with pytest.raises(BackendCrashed, match=NOT_TRIED):
        engine.load("echo").result()


def test_a_model_that_was_given_up_is_tried_again_after_a_while(engine, add_echo, monkeypatch):
    add_echo(options='{"crash_on": "bad"}')
    for _ in range(3):
        with pytest.raises(BackendCrashed):
            engine.submit(ask("bad word")).completion()
    monkeypatch.setattr("olpipe.engine.resident.GIVEN_UP_S", 0.0)
    assert engine.submit(ask("good")).completion().text == "good"


def test_an_idle_process_that_was_killed_is_replaced(engine, add_echo):
    add_echo()
    info = engine.load("echo").result()
    pid = pid_of(engine)
    os.kill(pid, signal.SIGKILL)
    assert engine.submit(ask("again")).completion().text == "again"
    assert engine.load("echo").result() == info
    assert pid_of(engine) != pid


@pytest.mark.parametrize("nonsense", [float("nan"), "hot"])
def test_a_request_that_its_process_could_not_read_is_refused_alone(engine, add_echo, nonsense):
    add_echo(options='{"endless_on": "endless"}')
    words = iter(engine.submit(ask("endless")))
    assert next(words).text == "endless"
    bad = ask("a")
    bad = replace(bad, sampling=replace(bad.sampling, temperature=nonsense))
    with pytest.raises(UsageError, match=r"the request cannot be sent: not a packet: TypeError: .* is not a float"):
        engine.submit(bad).completion()
    for _ in range(3):
        assert next(words).text == "endless"
