"""Runners in real processes: what the parent sees of them."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import numpy as np
import pytest

from olpipe.engine.process import RunnerProcess
from olpipe.engine.protocol import Load
from olpipe.engine.ticket import Ticket
from olpipe.errors import (
    BackendCrashed,
    ContextExceeded,
    GenerationError,
    ModelCorrupt,
    OlpipeError,
    PluginError,
    UnknownName,
    UsageError,
)
from olpipe.generation import FinishReason, GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import Message
from olpipe.model import LoadOptions
from olpipe.settings import Settings
from olpipe.testing.echo import echo_bundle

Start = Callable[..., RunnerProcess]


def ask(text: str, *images: DecodedImage, **sampling: object) -> GenerateRequest:
    return GenerateRequest("echo", (Message.of("user", text, *images),), SamplingParams(**sampling))


@pytest.fixture
def start(tmp_path, echo_plugin) -> Iterator[Start]:
    started: list[RunnerProcess] = []

    def start(
        *,
        orphaned: Callable[[list[Ticket]], None] | None = None,
        answered: Callable[[], None] | None = None,
        backend: str = "echo",
        settings: Settings | None = None,
        **options: object,
    ) -> RunnerProcess:
        bundle = echo_bundle(tmp_path)
        (bundle.path / "echo.json").write_text(json.dumps(options))
        load = Load(backend, bundle, LoadOptions(), settings or Settings(home=tmp_path))
        process = RunnerProcess(load, orphaned=orphaned, answered=answered)
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture
def process_says() -> Iterator[SimpleQueue[str]]:
    """Give a queue of the lines that runners' processes write to stderr."""
    lines: SimpleQueue[str] = SimpleQueue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put(record.getMessage())
    logger = logging.getLogger("olpipe.engine.process")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_a_loaded_model_says_what_it_can_do(start):
    assert start(slots=3, context_length=99).wait_loaded().slots == 3


def test_an_answer_arrives_word_by_word_and_its_last_chunk_says_why_it_ended(start):
    process = start()
    process.wait_loaded()
    chunks = list(process.submit(ask("one two 三")))
    assert [chunk.text for chunk in chunks] == ["one", " two", " 三", ""]
    assert chunks[-1].finish_reason is FinishReason.STOP
    assert chunks[-1].usage.prompt_tokens == 3
    assert chunks[-1].timings.queue_ns >= 0


def test_a_completion_holds_the_whole_answer(start):
    process = start()
    process.wait_loaded()
    completion = process.submit(ask("one two three", max_tokens=2)).completion()
    assert (completion.text, completion.finish_reason) == ("one two", FinishReason.LENGTH)


def test_pixels_reach_the_runner(start):
    process = start()
    process.wait_loaded()
    image = DecodedImage(np.zeros((2, 3, 3), np.uint8), 30, 20)
    assert process.submit(ask("what is it", image)).completion().text == "[image 30x20] what is it"


def test_what_native_code_prints_does_not_disturb_the_answer(start):
    process = start(noise=True)
    process.wait_loaded()
    assert process.submit(ask("a b c")).completion().text == "a b c"


def test_the_error_of_one_request_is_raised_with_its_class_and_hint_and_the_next_is_answered(start):
    process = start(context_length=2)
    process.wait_loaded()
    with pytest.raises(ContextExceeded, match=r"^the prompt takes 3 tokens, the model 2$") as caught:
        process.submit(ask("a b c")).completion()
    assert caught.value.hint == "send a shorter prompt"
    assert process.submit(ask("a b")).completion().text == "a b"


def test_an_unexpected_exception_fails_its_request_and_the_next_is_answered(start):
    process = start(fail_on="bad")
    process.wait_loaded()
    with pytest.raises(GenerationError, match=r"^the backend `echo` failed: RuntimeError: echo fails as told$"):
        process.submit(ask("bad word")).completion()
    assert process.submit(ask("good")).completion().text == "good"


def test_a_backend_that_fails_to_load_is_told_with_its_name_and_its_plugin(start):
    message = r"^the backend `echo` of the plugin `echo` failed: RuntimeError: echo fails as told$"
    with pytest.raises(PluginError, match=message):
        start(fail_on_load=True).wait_loaded()


def test_a_request_that_json_cannot_hold_is_refused_where_it_is_submitted(start):
    process = start()
    process.wait_loaded()
    with pytest.raises(UsageError, match="the request cannot be sent: a Submit cannot be sent: "):
        process.submit(ask("\udcff"))


def test_options_that_json_cannot_hold_are_refused_before_a_process_is_started(tmp_path):
    load = Load("echo", echo_bundle(tmp_path), LoadOptions(image_tokens=1 << 70), Settings(home=tmp_path))
    message = "^`echo:latest` cannot be loaded in this way: a Load cannot be sent: Integer exceeds 64-bit range$"
    with pytest.raises(UsageError, match=message):
        RunnerProcess(load)


def test_a_model_that_cannot_be_loaded_raises_what_the_backend_raised(start, tmp_path):
    with pytest.raises(ModelCorrupt, match=r"^`echo.json` of `echo:latest` cannot be used: .*'slot'$"):
        start(slot=2).wait_loaded()


def test_the_process_loads_plugins_under_the_settings_of_its_parent(start, tmp_path):
    with pytest.raises(UnknownName, match="no backend is called `echo`"):
        start(settings=Settings(home=tmp_path, plugins_deny=("echo",))).wait_loaded()


def test_a_crash_fails_the_requests_in_flight_and_says_how_the_process_ended(start):
    process = start(crash_on="bad", slots=1)
    process.wait_loaded()
    streams = [process.submit(ask("bad word")), process.submit(ask("waits"))]
    for stream in streams:
        with pytest.raises(
            BackendCrashed, match=r"^the process that runs `echo:latest` ended with exit code 70$"
        ) as caught:
            stream.completion()
        assert "it said last: `echo crashes as told`" in caught.value.hint
    with pytest.raises(BackendCrashed, match="ended with exit code 70"):
        process.submit(ask("too late"))


def test_a_crash_hands_back_what_had_not_begun_in_its_order_and_without_what_was_cancelled(start):
    orphans: SimpleQueue[list[Ticket]] = SimpleQueue()
    process = start(orphaned=orphans.put, crash_on="bad", slots=1)
    process.wait_loaded()
    tickets = [Ticket(ask(text), "") for text in ("bad word", "first", "second", "third")]
    tickets[2].cancel()
    assert all(process.take(ticket) for ticket in tickets)
    with pytest.raises(BackendCrashed, match="ended with exit code 70"):
        tickets[0].stream().completion()
    assert orphans.get(timeout=60) == [tickets[1], tickets[3]]
    assert tickets[2].stream().completion().finish_reason is FinishReason.CANCELLED
    assert not process.take(tickets[1])


def test_a_killed_process_is_reported_with_its_signal(start):
    process = start(hang_on="bad")
    process.wait_loaded()
    chunks = iter(process.submit(ask("bad word")))
    assert next(chunks).text == "bad"
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(BackendCrashed, match="was killed by SIGKILL") as caught:
        next(chunks)
    assert "out of memory" in caught.value.hint


def test_a_crash_while_loading_is_raised(start):
    with pytest.raises(BackendCrashed, match="ended with exit code 70"):
        start(crash_on_load=True).wait_loaded()


def test_leaving_the_iteration_cancels_and_frees_the_slot(start):
    process = start(endless_on="word")
    process.wait_loaded()
    stream = process.submit(ask("word"))
    for chunk in stream:
        assert chunk.text == "word"
        break
    assert stream.completion().finish_reason is FinishReason.CANCELLED
    assert process.submit(ask("next")).completion().text == "next"


def test_a_queued_request_can_be_cancelled(start):
    process = start(hang_on="hang")
    process.wait_loaded()
    running, queued = process.submit(ask("hang now")), process.submit(ask("queued"))
    queued.cancel()
    assert queued.completion().finish_reason is FinishReason.CANCELLED
    running.cancel()


def test_dropping_a_stream_cancels_it(start):
    process = start(endless_on="word")
    process.wait_loaded()
    stream = process.submit(ask("word"))
    del stream
    assert process.submit(ask("next")).completion().text == "next"


def test_it_says_so_whenever_a_request_has_come_to_its_end_however_that_was(start):
    ends: SimpleQueue[int] = SimpleQueue()
    process = start(answered=lambda: ends.put(process.open), endless_on="endless", fail_on="fail", crash_on="crash")
    process.wait_loaded()
    endless = process.submit(ask("endless"))
    waits = process.submit(ask("waits"))
    endless.cancel()
    assert waits.completion().text == "waits"
    assert sorted(ends.get(timeout=60) for _ in range(2)) == [0, 1]
    for text in ("fail it", "crash it"):
        with pytest.raises(OlpipeError):
            process.submit(ask(text)).completion()
        assert ends.get(timeout=60) == 0


def test_a_process_that_still_loads_can_be_closed(start):
    process = start(load_s=3600)
    assert process.wait_loaded(0.01) is None
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_closing_ends_a_process_that_hangs_and_its_streams_as_cancelled(start, process_says):
    process = start(hang_on="hang")
    process.wait_loaded()
    stream = process.submit(ask("hang now"))
    while "echo hangs as told" not in process_says.get(timeout=60):
        pass
    process.close()
    assert stream.completion().finish_reason is FinishReason.CANCELLED
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_process_that_speaks_something_else_is_a_crash_that_shows_it(start, monkeypatch):
    monkeypatch.setattr("olpipe.engine.process.COMMAND", (sys.executable, "-c", "print('Loading model...')"))
    with pytest.raises(BackendCrashed, match=r"`echo:latest` broke off: expected a frame, got b'Loading mode'$"):
        start().wait_loaded()


def test_a_file_of_the_working_folder_is_never_taken_for_a_module(start, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "orjson.py").write_text("raise RuntimeError('imported from the working folder')")
    monkeypatch.chdir(folder)
    process = start()
    process.wait_loaded()
    assert process.submit(ask("a b")).completion().text == "a b"
