"""The engine over a real store and real processes."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

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
    process, _ = engine._loaded("echo").running()
    os.kill(process.pid, signal.SIGKILL)
    process._threads[-1].join(60)
    assert engine.load("echo") == info
    assert engine.submit(ask("again")).completion().text == "again"
