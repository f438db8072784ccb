"""Processes that take more and more memory are replaced, between two requests."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from olpipe.engine.manager import Engine
from olpipe.generation import GenerateRequest
from olpipe.messages import Message


def ask(text: str) -> GenerateRequest:
    return GenerateRequest("echo", (Message.of("user", text),))


def pid_of(engine: Engine) -> int:
    (model,) = engine.loaded()
    assert model.pid is not None
    return model.pid


@pytest.fixture
def leaking(start, add_echo) -> Engine:
    """An engine whose model takes 64 MiB with every answer, and gives up its process at 200 MiB."""
    add_echo(options='{"leak_mib": 64, "slots": 2, "endless_on": "endless"}')
    return start(memory_limit=200)


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


def test_many_threads_lose_nothing_while_processes_are_replaced(leaking):
    texts = [f"request {number}" for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda text: leaking.submit(ask(text)).completion().text, texts))
    assert answers == texts


def test_a_limit_below_what_the_model_takes_still_answers_every_request(start, add_echo):
    add_echo()
    engine = start(memory_limit=1)
    pids = set()
    for _ in range(2):
        assert engine.submit(ask("a")).completion().text == "a"
        pids.add(pid_of(engine))
    assert len(pids) == 2


def test_a_model_that_does_not_grow_keeps_its_process(engine, add_echo):
    add_echo(options='{"leak_mib": 8}')
    pids = set()
    for _ in range(5):
        engine.submit(ask("a")).completion()
        pids.add(pid_of(engine))
    assert len(pids) == 1


def test_what_a_loaded_model_takes_is_told(engine, add_echo):
    add_echo(options='{"leak_mib": 64}')
    engine.submit(ask("a")).completion()
    (model,) = engine.loaded()
    assert model.size_bytes > 64 << 20
