"""How long models stay: keep-alive, expiry, and being unloaded."""

import gc
import math
import random
import time

import pytest

from olpipe.engine.manager import MOST_AT_REST, Engine, LoadedModel
from olpipe.engine.resident import Resident
from olpipe.errors import InvalidName, UnknownName
from olpipe.generation import GenerateRequest
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelName
from tests.engine.processes import children


def ask(text: str, model: str = "echo") -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


def only(engine: Engine) -> LoadedModel:
    (model,) = engine.loaded()
    return model


def test_a_model_stays_as_long_as_the_last_request_says(start, add_echo, until):
    add_echo()
    engine = start(keep_alive_s=500.0)
    for keep_alive_s, least, most in ((None, 400, 500), (1000, 900, 1000), (-1, math.inf, math.inf), (50, 0, 50)):
        engine.submit(ask("a"), keep_alive_s=keep_alive_s).completion()
        assert least <= only(engine).expires_in_s <= most
    engine.submit(ask("a"), keep_alive_s=0).completion()
    until(lambda: engine.loaded() == [] and children() == [])


def test_a_request_that_says_nothing_changes_nothing_until_the_model_is_loaded_again(start, add_echo, until):
    add_echo()
    engine = start(keep_alive_s=500.0)
    engine.load("echo", keep_alive_s=-1).result()
    engine.submit(ask("a")).completion()
    assert only(engine).expires_in_s == math.inf
    engine.unload("echo")
    engine.submit(ask("a")).completion()
    assert 400 <= only(engine).expires_in_s <= 500


def test_a_negative_setting_keeps_models_for_ever(start, add_echo):
    add_echo()
    engine = start(keep_alive_s=-1.0)
    engine.submit(ask("a")).completion()
    assert only(engine).expires_in_s == math.inf


def test_a_model_that_nobody_asks_goes_when_its_time_is_up(engine, add_echo, until):
    add_echo()
    engine.load("echo", keep_alive_s=0.2).result()
    until(lambda: engine.loaded() == [] and children() == [])
    assert engine.submit(ask("b")).completion().text == "b"


def test_a_model_at_work_does_not_expire(engine, add_echo):
    add_echo(options='{"endless_on": "endless", "delay_s": 0.01}')
    words = iter(engine.submit(ask("endless"), keep_alive_s=0))
    assert [next(words).text for _ in range(50)] == ["endless"] * 50
    model = only(engine)
    assert (model.expires_in_s, model.active, model.waiting) == (math.inf, 1, 0)


def test_requests_that_wait_are_counted_apart(engine, add_echo):
    add_echo(options='{"endless_on": "endless"}')
    words = iter(engine.submit(ask("endless")))
    next(words)
    waiting = [engine.submit(ask("a")) for _ in range(2)]
    model = only(engine)
    assert (model.active, model.waiting) == (3, 2)
    for stream in waiting:
        stream.cancel()
    model = only(engine)
    assert (model.active, model.waiting) == (1, 0)


def test_loading_what_is_loaded_changes_how_long_it_stays(engine, add_echo, until):
    add_echo()
    engine.load("echo", keep_alive_s=100).result()
    engine.load("echo", keep_alive_s=1000).result()
    assert only(engine).expires_in_s > 900
    engine.load("echo", keep_alive_s=0).result()
    until(lambda: engine.loaded() == [] and children() == [])


def test_a_request_that_arrives_while_its_model_expires_is_answered(engine, add_echo):
    add_echo()
    chance = random.Random(9)
    for number in range(12):
        time.sleep(chance.choice((0, 0.001, 0.01, 0.05, 0.1)))
        keep_alive_s = chance.choice((0, 0.001, 0.02))
        streams = [engine.submit(ask(f"{number} {one}"), keep_alive_s=keep_alive_s) for one in range(2)]
        assert [stream.completion().text for stream in streams] == [f"{number} {one}" for one in range(2)]


def test_an_idle_model_is_unloaded_at_once(engine, add_echo):
    add_echo()
    engine.load("echo", keep_alive_s=-1).result()
    assert engine.unload("ECHO")
    assert engine.loaded() == []
    assert children() == []
    assert engine.submit(ask("a")).completion().text == "a"


def test_a_model_at_work_answers_before_it_is_unloaded(engine, add_echo, until):
    add_echo(options='{"endless_on": "endless"}')
    running = engine.submit(ask("endless"), keep_alive_s=-1)
    words = iter(running)
    next(words)
    assert engine.unload("echo")
    assert [next(words).text for _ in range(300)] == ["endless"] * 300
    running.cancel()
    until(lambda: engine.loaded() == [] and children() == [])


def test_a_model_that_is_unloaded_while_it_loads_goes_when_it_has_answered(start, add_echo, gate, until):
    add_echo(options='{"build_s": 0.01}')
    engine = start(gate)
    stream = engine.submit(ask("a"), keep_alive_s=-1)
    gate.wait_for_report()
    assert engine.unload("echo")
    gate.open()
    assert stream.completion().text == "a"
    until(lambda: engine.loaded() == [] and children() == [])


def test_a_model_is_unloaded_by_any_of_its_names_even_when_it_was_removed(engine, library, add_echo):
    add_echo("one")
    library.copy(ModelName.parse("one"), ModelName.parse("two"))
    engine.load("one").result()
    assert engine.unload("two")
    assert engine.loaded() == []
    engine.load("one").result()
    library.remove(ModelName.parse("one"))
    assert engine.unload("one")
    assert engine.loaded() == []


def test_what_is_not_loaded_cannot_be_unloaded(engine, add_echo):
    add_echo("one")
    add_echo("two")
    engine.load("one").result()
    assert not engine.unload("two")
    assert not engine.unload("nobody")
    assert only(engine).name == ModelName.parse("one")
    with pytest.raises(InvalidName):
        engine.unload("no/such/model/name")


@pytest.mark.slow
def test_ways_to_load_a_model_that_nobody_uses_are_forgotten(start, add_echo):
    add_echo()
    engine = start()
    for number in range(3 * MOST_AT_REST):
        with pytest.raises(UnknownName):
            engine.submit(ask("a"), options=LoadOptions(backend=f"nobody-{number}")).completion()
    gc.collect()
    mine = [one for one in gc.get_objects() if isinstance(one, Resident) and one.load.options.backend[:6] == "nobody"]
    assert 0 < len(mine) <= MOST_AT_REST
    assert engine.submit(ask("a")).completion().text == "a"
