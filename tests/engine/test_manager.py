"""The engine over a real store and real processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from olpipe import machine
from olpipe.errors import InvalidName, ModelNotFound, ModelUnsupported, UnknownName
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelConfig, ModelName


def ask(text: str, model: str = "echo") -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


def test_a_request_loads_its_model_and_is_answered(engine, add_echo):
    add_echo()
    assert engine.submit(ask("a b")).completion().text == "a b"


def test_loading_says_what_the_model_can_do(engine, add_echo):
    add_echo(options='{"slots": 2}')
    assert engine.load("echo").result().slots == 2


def test_the_limit_on_the_context_reaches_the_backend(start, add_echo):
    add_echo()
    assert start(context_length=7).load("echo").result().context_length == 7


def test_the_number_of_slots_reaches_the_backend(start, add_echo):
    add_echo()
    assert start(slots=5).load("echo").result().slots == 5


def test_what_a_request_asks_for_outranks_the_settings(start, add_echo):
    add_echo()
    engine = start(context_length=7, slots=5)
    info = engine.load("echo", options=LoadOptions(context_length=9)).result()
    assert (info.context_length, info.slots) == (9, 5)


def test_two_models_answer_side_by_side(engine, add_echo):
    add_echo("one", '{"endless_on": "go"}')
    add_echo("two")
    endless = iter(engine.submit(ask("go", "one")))
    assert next(endless).text == "go"
    assert engine.submit(ask("a", "two")).completion().text == "a"
    assert next(endless).text == "go"


def test_many_threads_may_submit_at_once(engine, add_echo):
    add_echo(options='{"slots": 3}')
    texts = [f"request {number}" for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda text: engine.submit(ask(text)).completion().text, texts))
    assert answers == texts


def test_two_ways_to_load_one_model_are_two_processes(engine, add_echo):
    add_echo(options='{"threads_on": "how"}')
    for threads in (1, 2):
        stream = engine.submit(ask("how many"), options=LoadOptions(threads=threads))
        assert stream.completion().text == f"{threads} threads"
    models = engine.loaded()
    assert {model.options.threads for model in models} == {1, 2}
    assert len({model.pid for model in models}) == 2


def test_two_names_of_one_model_share_a_process(engine, library, add_echo):
    add_echo("one")
    library.copy(ModelName.parse("one"), ModelName.parse("two"))
    assert engine.submit(ask("a", "one")).completion().text == "a"
    assert engine.submit(ask("b", "two")).completion().text == "b"
    assert engine.submit(ask("c", "two:latest")).completion().text == "c"
    assert len(engine.loaded()) == 1


def test_a_backend_can_be_asked_for_by_name(engine, add_echo):
    add_echo()
    assert engine.submit(ask("a"), options=LoadOptions(backend="echo")).completion().text == "a"


def test_a_backend_that_is_not_here_is_the_answer_to_who_asks_for_it(engine, add_echo):
    add_echo()
    with pytest.raises(UnknownName, match="no backend is called `ecco`"):
        engine.submit(ask("a"), options=LoadOptions(backend="ecco")).completion()


def test_a_model_that_no_backend_can_load_is_refused_with_what_each_backend_says(engine, library):
    layer = replace(library.add_bytes(b"?"), name="model.bin")
    library.commit(ModelName.parse("odd"), ModelConfig(model_format="odd"), [layer])
    with pytest.raises(ModelUnsupported, match=r"^no backend can run `odd:latest` \(.*`echo`: ") as caught:
        engine.load("odd").result()
    assert caught.value.hint == "`olpipe plugins` shows what is installed"


def test_an_unknown_model_is_not_found(engine):
    with pytest.raises(ModelNotFound, match="model `nobody` is not on this machine"):
        engine.bundle("nobody")


@pytest.mark.parametrize(("model", "error"), [("nobody", ModelNotFound), ("no/such/model/name", InvalidName)])
def test_what_is_wrong_with_a_name_comes_out_of_the_stream(engine, model, error):
    stream = engine.submit(ask("a", model))
    with pytest.raises(error):
        stream.completion()
    with pytest.raises(error):
        engine.load(model).result()


def test_closing_the_engine_ends_its_processes_and_the_streams_others_wait_for(start, add_echo):
    add_echo(options='{"endless_on": "go"}')
    reasons = []
    with start() as engine:
        stream = engine.submit(ask("go"))
        waiter = threading.Thread(target=lambda: reasons.append(stream.completion().finish_reason))
        waiter.start()
    waiter.join(60)
    assert reasons == [FinishReason.CANCELLED]
    with pytest.raises(ValueError, match="the engine is closed"):
        engine.submit(ask("late"))


def test_a_model_gets_the_threads_that_fit_the_machine_unless_the_setting_says_otherwise(start, add_echo):
    add_echo(options='{"threads_on": "how"}')
    for threads, expected in ((0, machine.threads(machine.cores())), (7, 7)):
        assert start(threads=threads).submit(ask("how many")).completion().text == f"{expected} threads"


def test_models_that_are_loaded_side_by_side_share_the_machines_threads(engine, add_echo, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 13)
    for model in ("one", "two", "three"):
        add_echo(model, '{"threads_on": "how"}')
    said = [engine.submit(ask("how many", model)).completion().text for model in ("one", "two", "three")]
    assert said == ["12 threads", "6 threads", "4 threads"]
    threads = LoadOptions(threads=5)
    assert engine.submit(ask("how many", "one"), options=threads).completion().text == "5 threads"
