"""The engine over a real store and real processes."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from olpipe import machine
from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed, ModelNotFound, ModelUnsupported
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library


def ask(text: str, model: str = "echo") -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


@pytest.fixture
def library(tmp_path) -> Library:
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def engine(library, tmp_path, echo_plugin):
    settings = Settings(home=tmp_path)
    with Engine(library, Plugins.load(settings), settings) as engine:
        yield engine


def add_echo(library: Library, name: str, options: str = "{}") -> None:
    layer = replace(library.add_bytes(options.encode()), name="echo.json")
    library.commit(ModelName.parse(name), ModelConfig(model_format="echo"), [layer])


def test_a_request_loads_its_model_and_is_answered(engine, library):
    add_echo(library, "echo")
    assert engine.submit(ask("a b")).completion().text == "a b"


def test_loading_says_what_the_model_can_do(engine, library):
    add_echo(library, "echo", '{"slots": 2}')
    assert engine.load("echo").slots == 2


def test_the_limit_on_the_context_reaches_the_backend(library, tmp_path, echo_plugin):
    add_echo(library, "echo")
    settings = Settings(home=tmp_path, context_length=7)
    with Engine(library, Plugins.load(settings), settings) as engine:
        assert engine.load("echo").context_length == 7


def test_two_models_answer_side_by_side(engine, library):
    add_echo(library, "one", '{"endless_on": "go"}')
    add_echo(library, "two")
    endless = iter(engine.submit(ask("go", "one")))
    assert next(endless).text == "go"
    assert engine.submit(ask("a", "two")).completion().text == "a"
    assert next(endless).text == "go"


def test_many_threads_may_submit_at_once(engine, library):
    add_echo(library, "echo", '{"slots": 3}')
    texts = [f"request {number}" for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda text: engine.submit(ask(text)).completion().text, texts))
    assert answers == texts


def test_a_crash_costs_the_requests_in_flight_and_the_next_is_answered_by_a_new_process(engine, library):
    add_echo(library, "echo", '{"crash_on": "bad"}')
    assert engine.submit(ask("good")).completion().text == "good"
    with pytest.raises(BackendCrashed):
        engine.submit(ask("bad word")).completion()
    assert engine.submit(ask("good")).completion().text == "good"


def test_a_crash_costs_nothing_to_requests_that_still_waited(engine, library):
    add_echo(library, "echo", '{"crash_on": "bad"}')
    bad = engine.submit(ask("bad word"), client="alice")
    waiting = [engine.submit(ask(f"request {number}"), client=f"client {number % 2}") for number in range(6)]
    with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
        bad.completion()
    assert [stream.completion().text for stream in waiting] == [f"request {number}" for number in range(6)]


def test_each_of_several_bad_requests_costs_itself_only(engine, library):
    add_echo(library, "echo", '{"crash_on": "bad"}')
    streams = [engine.submit(ask(text)) for text in ("bad one", "good", "bad two", "fine", "bad three", "well")]
    answers = []
    for stream in streams:
        try:
            answers.append(stream.completion().text)
        except BackendCrashed:
            answers.append("crashed")
    assert answers == ["crashed", "good", "crashed", "fine", "crashed", "well"]


def test_requests_that_all_kill_the_process_are_not_tried_for_ever(engine, library):
    add_echo(library, "echo", '{"crash_on": "bad"}')
    streams = [engine.submit(ask(f"bad {number}")) for number in range(6)]
    messages = []
    for stream in streams:
        with pytest.raises(BackendCrashed) as caught:
            stream.completion()
        messages.append(caught.value.message)
    assert all(message.endswith("ended with exit code 70") for message in messages[:3])
    assert all(message.endswith("3 times in a row") for message in messages[3:])


def test_a_process_that_cannot_be_loaded_again_fails_all_that_waited(engine, library):
    add_echo(library, "echo", '{"hang_on": "hang"}')
    words = iter(engine.submit(ask("hang now")))
    assert next(words).text == "hang"
    waiting = [engine.submit(ask(text)) for text in ("a", "b", "c")]
    options = engine.bundle("echo").path / "echo.json"
    options.unlink()
    options.write_text('{"crash_on_load": true}')
    os.kill(pid_of(engine), signal.SIGKILL)
    with pytest.raises(BackendCrashed, match="was killed by SIGKILL"):
        next(words)
    for stream in waiting:
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            stream.completion()
    assert engine._loaded("echo")._crashes == 2


def test_a_request_can_be_cancelled_wherever_it_is_after_a_crash(engine, library):
    add_echo(library, "echo", '{"hang_on": "hang", "endless_on": "endless"}')
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


def test_closing_the_engine_cancels_what_waits_for_another_process(library, tmp_path, echo_plugin):
    add_echo(library, "echo", '{"hang_on": "hang"}')
    settings = Settings(home=tmp_path)
    with Engine(library, Plugins.load(settings), settings) as engine:
        words = iter(engine.submit(ask("hang now")))
        assert next(words).text == "hang"
        waiting = [engine.submit(ask("hang again")) for _ in range(3)]
        os.kill(pid_of(engine), signal.SIGKILL)
        with pytest.raises(BackendCrashed, match="was killed by SIGKILL"):
            next(words)
    assert {stream.completion().finish_reason for stream in waiting} == {FinishReason.CANCELLED}


def test_a_model_whose_process_dies_again_and_again_is_given_up(engine, library):
    add_echo(library, "echo", '{"crash_on": "bad"}')
    for _ in range(3):
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            engine.submit(ask("bad word")).completion()
    with pytest.raises(BackendCrashed, match=r"ended with exit code 70, 3 times in a row$"):
        engine.submit(ask("good"))


def test_a_model_that_crashes_while_it_loads_is_given_up(engine, library):
    add_echo(library, "echo", '{"crash_on_load": true}')
    for _ in range(3):
        with pytest.raises(BackendCrashed, match=r"ended with exit code 70$"):
            engine.load("echo")
    with pytest.raises(BackendCrashed, match="3 times in a row"):
        engine.load("echo")


def test_a_model_that_no_backend_can_load_is_refused_with_the_backends_that_are_here(engine, library):
    layer = replace(library.add_bytes(b"?"), name="model.bin")
    library.commit(ModelName.parse("odd"), ModelConfig(model_format="odd"), [layer])
    with pytest.raises(
        ModelUnsupported, match=r"^no backend can load `odd:latest` \(format `odd`, architecture `unknown`\)$"
    ) as caught:
        engine.load("odd")
    assert caught.value.hint == "backends here: `ort-genai`, `echo`; `olpipe plugins` shows what is installed"
    assert "`echo`" in caught.value.hint


def test_an_unknown_model_is_not_found(engine):
    with pytest.raises(ModelNotFound, match="model `nobody` is not on this machine"):
        engine.bundle("nobody")


def test_closing_the_engine_ends_its_processes_and_the_streams_others_wait_for(library, tmp_path, echo_plugin):
    add_echo(library, "echo", '{"endless_on": "go"}')
    settings = Settings(home=tmp_path)
    reasons = []
    with Engine(library, Plugins.load(settings), settings) as engine:
        stream = engine.submit(ask("go"))
        waiter = threading.Thread(target=lambda: reasons.append(stream.completion().finish_reason))
        waiter.start()
    waiter.join(60)
    assert reasons == [FinishReason.CANCELLED]
    with pytest.raises(ValueError, match="the engine is closed"):
        engine.submit(ask("late"))


def test_an_idle_process_that_was_killed_is_replaced(engine, library):
    add_echo(library, "echo")
    info = engine.load("echo")
    process = engine._loaded("echo")._process
    os.kill(process.pid, signal.SIGKILL)
    process._threads[-1].join(60)
    assert engine.load("echo") == info
    assert engine.submit(ask("again")).completion().text == "again"


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux tells a process's memory")


@pytest.fixture
def leaking(library, tmp_path, echo_plugin):
    """An engine whose model takes 64 MiB with every answer, and gives up its process at 200 MiB."""
    add_echo(library, "echo", '{"leak_mib": 64, "slots": 2, "endless_on": "endless"}')
    settings = Settings(home=tmp_path, memory_limit=200)
    with Engine(library, Plugins.load(settings), settings) as engine:
        yield engine


def pid_of(engine) -> int:
    return engine._loaded("echo")._process.pid


@needs_proc
def test_a_process_that_grows_past_the_limit_is_replaced_between_requests(leaking, caplog):
    caplog.set_level("INFO", "olpipe")
    pids = []
    for number in range(8):
        assert leaking.submit(ask(f"request {number}")).completion().text == f"request {number}"
        pids.append(pid_of(leaking))
    runs = [pids.count(pid) for pid in dict.fromkeys(pids)]
    assert len(runs) > 1
    assert all(2 <= run <= 3 for run in runs[:-1])
    assert "the process of `echo:latest` takes " in caplog.text


@needs_proc
def test_replacing_a_process_waits_for_the_answers_it_still_owes(leaking):
    owed = leaking.submit(ask("endless"))
    words = iter(owed)
    assert next(words).text == "endless"
    old = pid_of(leaking)
    for _ in range(2):
        leaking.submit(ask("grow")).completion()
    waiter = ThreadPoolExecutor(1)
    late = waiter.submit(lambda: leaking.submit(ask("late")).completion().text)
    for _ in range(20):
        assert next(words).text == "endless"
    assert not late.done()
    assert pid_of(leaking) == old
    owed.cancel()
    assert late.result(60) == "late"
    assert pid_of(leaking) != old
    waiter.shutdown()


@needs_proc
def test_many_threads_lose_nothing_while_processes_are_replaced(leaking):
    texts = [f"request {number}" for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda text: leaking.submit(ask(text)).completion().text, texts))
    assert answers == texts


@needs_proc
def test_a_limit_below_what_the_model_takes_still_answers_every_request(library, tmp_path, echo_plugin):
    add_echo(library, "echo")
    settings = Settings(home=tmp_path, memory_limit=1)
    with Engine(library, Plugins.load(settings), settings) as engine:
        pids = set()
        for _ in range(2):
            assert engine.submit(ask("a")).completion().text == "a"
            pids.add(pid_of(engine))
    assert len(pids) == 2


@needs_proc
def test_a_model_that_does_not_grow_keeps_its_process(engine, library):
    add_echo(library, "echo", '{"leak_mib": 8}')
    pids = set()
    for _ in range(5):
        engine.submit(ask("a")).completion()
        pids.add(pid_of(engine))
    assert len(pids) == 1


def test_a_model_gets_the_threads_that_fit_the_machine_unless_the_setting_says_otherwise(
    library, tmp_path, echo_plugin
):
    add_echo(library, "echo")
    for threads, expected in ((0, machine.threads(machine.cores())), (7, 7)):
        settings = Settings(home=tmp_path, threads=threads)
        with Engine(library, Plugins.load(settings), settings) as engine:
            assert engine._loaded("echo")._load.options.threads == expected
