"""More models than places: who goes, who waits, and that everybody has a turn."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from olpipe import machine
from olpipe.engine.manager import Engine
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message
from tests.engine.processes import children


def ask(text: str, model: str) -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


def names(engine: Engine) -> set[str]:
    return {model.name.model for model in engine.loaded()}


@pytest.fixture
def clients() -> Iterator[Callable[..., list[str]]]:
    """Start clients that ask one model again and again; each returns the list of its answers, which grows."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(engine: Engine, model: str) -> list[str]:
        answers: list[str] = []

        def ask_on() -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                answers.append(engine.submit(ask(f"{number} for {model}", model)).completion().text)

        threads.append(threading.Thread(target=ask_on))
        threads[-1].start()
        return answers

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)


def test_an_idle_model_makes_room(start, add_echo):
    add_echo("one")
    add_echo("two")
    engine = start(max_loaded=1)
    assert engine.submit(ask("a", "one"), keep_alive_s=-1).completion().text == "a"
    assert engine.submit(ask("b", "two")).completion().text == "b"
    assert names(engine) == {"two"}


def test_a_model_at_work_finishes_before_it_makes_room(start, add_echo):
    add_echo("one", '{"endless_on": "endless"}')
    add_echo("two")
    engine = start(max_loaded=1)
    running = engine.submit(ask("endless", "one"))
    words = iter(running)
    next(words)
    waiting = engine.submit(ask("b", "two"))
    assert {next(words).text for _ in range(300)} == {"endless"}
    assert names(engine) == {"one"}
    running.cancel()
    assert waiting.completion().text == "b"
    assert names(engine) == {"two"}


def test_a_model_that_was_asked_to_make_room_answers_again_when_nobody_wants_its_place_any_more(start, add_echo, until):
    add_echo("one", '{"endless_on": "endless", "slots": 2}')
    add_echo("two")
    engine = start(max_loaded=1)
    words = iter(engine.submit(ask("endless", "one")))
    next(words)
    given_up = engine.submit(ask("b", "two"))
    until(lambda: any(thread.name == "load two:latest" for thread in threading.enumerate()))
    late = engine.submit(ask("late", "one"))
    given_up.cancel()
    assert given_up.completion().finish_reason is FinishReason.CANCELLED
    assert late.completion().text == "late"
    assert next(words).text == "endless"


def test_two_models_that_are_asked_at_once_for_one_place_are_both_answered(start, add_echo):
    for model in ("one", "two"):
        add_echo(model, '{"load_s": 0.1}')
    engine = start(max_loaded=1)
    for text in "ab":
        streams = [engine.submit(ask(text, model)) for model in ("one", "two")]
        assert [stream.completion().text for stream in streams] == [text, text]


def test_a_model_has_its_turn_although_another_is_asked_all_the_time(start, add_echo, clients, until):
    add_echo("one", '{"delay_s": 0.01, "slots": 2}')
    add_echo("two")
    engine = start(max_loaded=1)
    busy = [clients(engine, "one") for _ in range(3)]
    until(lambda: all(busy))
    assert engine.submit(ask("b", "two")).completion().text == "b"
    before = [len(answers) for answers in busy]
    until(lambda: all(len(answers) > count for answers, count in zip(busy, before, strict=True)))


def test_three_models_that_are_all_asked_all_the_time_have_one_turn_after_the_other(start, add_echo, clients, until):
    engine = start(max_loaded=1)
    for model in ("one", "two", "three"):
        add_echo(model)
    answers = [clients(engine, model) for model in ("one", "two", "three") for _ in range(2)]
    until(lambda: all(len(said) >= 2 for said in answers))


@pytest.mark.slow
def test_there_are_never_more_processes_than_places(start, add_echo):
    models = [f"model-{number}" for number in range(3)]
    for model in models:
        add_echo(model)
    engine = start(max_loaded=2)
    done = threading.Event()
    seen: list[int] = []

    def count() -> None:
        while not done.wait(0.005):
            seen.append(len(children()))

    def ask_any(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(4):
            model = chance.choice(models)
            answers.append(engine.submit(ask(f"{number}", model), keep_alive_s=0).completion().text == f"{number}")

    answers: list[bool] = []
    counter = threading.Thread(target=count)
    askers = [threading.Thread(target=ask_any, args=(seed,)) for seed in range(4)]
    for thread in (counter, *askers):
        thread.start()
    for thread in askers:
        thread.join(120)
    done.set()
    counter.join(60)
    assert answers == [True] * 16
    assert max(seen) <= 2


def test_of_several_idle_models_the_one_with_the_shortest_stay_goes(start, add_echo):
    stays = {"one": -1.0, "two": 100.0, "three": 1000.0}
    for model in (*stays, "four"):
        add_echo(model)
    engine = start(max_loaded=3)
    for model, keep_alive_s in stays.items():
        engine.load(model, keep_alive_s=keep_alive_s).result()
    assert [model.name.model for model in engine.loaded()] == ["one", "three", "two"]
    engine.load("four").result()
    assert names(engine) == {"one", "three", "four"}


def test_three_models_are_loaded_side_by_side_unless_the_settings_say_otherwise(engine, add_echo):
    for model in ("one", "two", "three", "four"):
        add_echo(model)
        engine.load(model).result()
    assert names(engine) == {"two", "three", "four"}


def test_models_make_room_where_memory_is_short_and_one_alone_is_always_tried(engine, add_echo, monkeypatch):
    add_echo("one")
    add_echo("two")
    monkeypatch.setattr(machine, "available_bytes", lambda: 1)
    engine.load("one").result()
    assert engine.submit(ask("b", "two")).completion().text == "b"
    assert names(engine) == {"two"}
