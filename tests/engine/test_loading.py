"""Models that are on their way: pulled, built, loaded, given up, replaced and removed meanwhile."""

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

import pytest

from olpipe.engine.stream import Stream
from olpipe.errors import LoadStalled, ModelNotFound, OlpipeError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.interfaces import ModelSource, Progress
from olpipe.messages import Message
from olpipe.model import ModelConfig, ModelName
from tests.engine.processes import children


def ask(text: str, model: str = "echo") -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


def reason(stream: Stream) -> FinishReason:
    return stream.completion().finish_reason


class SlowSource(ModelSource):
    """Announces `far`, reports until it is let go on, and then delivers an echo model."""

    scheme = "slow"

    def __init__(self) -> None:
        self.pulls: SimpleQueue[str] = SimpleQueue()
        self.interrupted: SimpleQueue[str] = SimpleQueue()
        self.deliver, self.clean_up = threading.Event(), threading.Event()
        self.clean_up.set()
        self.error: BaseException | None = None

    def names(self):
        return ["far"]

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress) -> None:
        self.pulls.put(reference)
        if self.error is not None:
            raise self.error
        try:
            while not self.deliver.wait(0.01):
                progress(Progress("pulling"))
        except BaseException:
            self.interrupted.put(reference)
            assert self.clean_up.wait(60)
            raise
        layer = replace(store.add_bytes(b"{}"), name="echo.json")
        store.commit(name, ModelConfig(model_format="echo"), [layer])


@pytest.fixture
def source(plugins) -> SlowSource:
    source = SlowSource()
    plugins.model_sources.register(source, "tests")
    return source


def test_a_request_returns_before_its_model_is_built_and_is_answered_when_it_is_loaded(start, add_echo, gate):
    add_echo(options='{"build_s": 0.02, "load_s": 0.1}')
    engine = start(gate)
    stream = engine.submit(ask("a b"))
    assert gate.wait_for_report().status == "building"
    gate.open()
    assert stream.completion().text == "a b"


def test_what_is_loaded_says_how_far_it_is(start, library, add_echo, gate):
    add_echo(options='{"build_s": 0.01, "slots": 2}')
    engine = start(gate)
    loading = engine.load("echo", keep_alive_s=-1)
    gate.wait_for_report()
    (model,) = engine.loaded()
    assert (str(model.name), model.is_loading, model.info, model.pid) == ("echo:latest", True, None, None)
    assert model.progress == Progress("building", 0, 1, "hundredths")
    assert (model.size_bytes, model.active, model.waiting) == (0, 1, 1)
    gate.open()
    info = loading.result()
    (model,) = engine.loaded()
    assert (model.is_loading, model.progress, model.info, model.active) == (False, None, info, 0)
    assert [model.pid] == [child.pid for child in children()]
    assert model.digest == library.digest(ModelName.parse("echo"))


def test_who_waited_for_the_model_is_told_how_long_and_who_did_not_is_told_nothing(engine, add_echo):
    add_echo()
    first, second = engine.submit(ask("a")), engine.submit(ask("b"))
    assert first.completion().timings.load_ns > 0
    assert second.completion().timings.load_ns > 0
    assert engine.submit(ask("c")).completion().timings.load_ns == 0


def test_a_request_that_is_cancelled_while_its_model_is_built_ends_at_once_and_leaves_nothing(
    start, add_echo, gate, until
):
    add_echo(options='{"build_s": 0.05}')
    engine = start(gate)
    stream = engine.submit(ask("a"))
    gate.wait_for_report()
    stream.cancel()
    assert reason(stream) is FinishReason.CANCELLED
    gate.open()
    until(lambda: engine.loaded() == [])
    assert children() == []
    assert engine.submit(ask("b")).completion().text == "b"


def test_a_request_that_is_cancelled_while_its_process_loads_leaves_nothing(engine, add_echo, until):
    add_echo(options='{"load_s": 0.5}')
    stream = engine.submit(ask("a"))
    until(children)
    stream.cancel()
    assert reason(stream) is FinishReason.CANCELLED
    until(lambda: engine.loaded() == [] and children() == [])
    assert engine.submit(ask("b")).completion().text == "b"


def test_a_request_that_comes_while_a_load_is_given_up_is_answered(engine, add_echo, until):
    add_echo(options='{"load_s": 0.2}')
    for number in range(4):
        given_up = engine.submit(ask("given up"))
        until(children)
        given_up.cancel()
        assert engine.submit(ask(f"request {number}"), keep_alive_s=0).completion().text == f"request {number}"
        until(lambda: engine.loaded() == [])


def test_when_two_wait_for_a_model_and_one_gives_up_the_other_is_served(start, add_echo, gate):
    add_echo(options='{"build_s": 0.05}')
    engine = start(gate)
    first, second = engine.submit(ask("a")), engine.submit(ask("b"))
    gate.wait_for_report()
    first.cancel()
    gate.open()
    assert reason(first) is FinishReason.CANCELLED
    assert second.completion().text == "b"


def test_dropping_the_stream_gives_the_load_up(start, add_echo, gate, until):
    add_echo(options='{"build_s": 0.05}')
    engine = start(gate)
    stream = engine.submit(ask("a"))
    gate.wait_for_report()
    del stream
    gate.open()
    until(lambda: engine.loaded() == [])


def test_a_model_that_is_not_here_is_pulled_behind_the_stream(engine, source):
    stream = engine.submit(ask("a", "far"))
    assert source.pulls.get(timeout=60) == "far"
    source.deliver.set()
    assert stream.completion().text == "a"


def test_a_pull_ends_when_nobody_waits_for_it_any_more_and_the_next_request_pulls_again(engine, source):
    stream = engine.submit(ask("a", "far"))
    source.pulls.get(timeout=60)
    stream.cancel()
    assert reason(stream) is FinishReason.CANCELLED
    assert source.interrupted.get(timeout=60) == "far"
    source.deliver.set()
    assert engine.submit(ask("b", "far")).completion().text == "b"


def test_when_two_wait_for_a_pull_and_one_gives_up_the_other_is_served(engine, source):
    first, second = engine.submit(ask("a", "far")), engine.submit(ask("b", "far"))
    source.pulls.get(timeout=60)
    first.cancel()
    assert reason(first) is FinishReason.CANCELLED
    source.deliver.set()
    assert second.completion().text == "b"
    assert source.pulls.empty()


def test_a_request_that_comes_while_a_pull_is_given_up_is_served_by_another_pull(engine, source):
    given_up = engine.submit(ask("a", "far"))
    source.pulls.get(timeout=60)
    source.clean_up.clear()
    given_up.cancel()
    source.interrupted.get(timeout=60)
    late = engine.submit(ask("late", "far"))
    source.deliver.set()
    source.clean_up.set()
    assert late.completion().text == "late"


@pytest.mark.parametrize("error", [RuntimeError("no way"), SystemExit("no way")])
def test_whatever_a_source_raises_comes_out_of_every_stream_that_waits(engine, source, error):
    source.error = error
    for stream in [engine.submit(ask(text, "far")) for text in "ab"]:
        with pytest.raises(OlpipeError, match="no way"):
            stream.completion()


@pytest.fixture
def renew(library, add_echo) -> Callable[[], None]:
    """Give the name `echo` to another model, which answers `who` with its number of threads."""
    return lambda: add_echo("echo", '{"threads_on": "who", "slots": 3}')


def test_a_model_that_is_pulled_again_answers_new_requests_while_the_old_one_finishes(
    start, library, add_echo, renew, until
):
    add_echo(options='{"endless_on": "endless", "slots": 2}')
    engine = start(threads=1)
    assert engine.submit(ask("who is it")).completion().text == "who is it"
    old = engine.submit(ask("endless"))
    words = iter(old)
    assert next(words).text == "endless"
    renew()
    assert engine.submit(ask("who is it")).completion().text == "1 threads"
    assert len(engine.loaded()) == 2
    assert [next(words).text for _ in range(3)] == ["endless"] * 3
    old.cancel()
    until(lambda: len(engine.loaded()) == 1)
    assert engine.loaded()[0].digest == library.digest(ModelName.parse("echo"))
    assert len(children()) == 1


def test_a_request_that_waits_for_a_model_that_is_replaced_meanwhile_is_answered_by_the_new_one(
    start, add_echo, renew, gate
):
    add_echo(options='{"build_s": 0.01}')
    engine = start(gate, threads=1)
    stream = engine.submit(ask("who is it"))
    gate.wait_for_report()
    renew()
    gate.open()
    assert stream.completion().text == "1 threads"


def test_a_model_that_is_removed_finishes_what_it_was_asked_and_is_not_found_any_more(engine, library, add_echo, until):
    add_echo(options='{"endless_on": "endless"}')
    running = engine.submit(ask("endless"))
    words = iter(running)
    assert next(words).text == "endless"
    library.remove(ModelName.parse("echo"))
    with pytest.raises(ModelNotFound):
        engine.submit(ask("a")).completion()
    assert next(words).text == "endless"
    running.cancel()
    until(lambda: engine.loaded() == [] and children() == [])


def test_a_request_that_waits_for_a_model_that_is_removed_meanwhile_is_told_that_it_is_not_here(
    start, library, add_echo, gate
):
    add_echo(options='{"build_s": 0.01}')
    engine = start(gate)
    stream = engine.submit(ask("a"))
    gate.wait_for_report()
    library.remove(ModelName.parse("echo"))
    gate.open()
    with pytest.raises(ModelNotFound, match="model `echo` is not on this machine"):
        stream.completion()


def test_a_model_that_was_removed_and_pulled_again_unchanged_is_loaded_again(engine, library, add_echo):
    add_echo()
    assert engine.submit(ask("a")).completion().text == "a"
    engine.unload("echo")
    library.remove(ModelName.parse("echo"))
    add_echo()
    assert engine.submit(ask("b")).completion().text == "b"


def test_another_name_keeps_its_model_when_one_name_means_another(engine, library, add_echo, renew):
    add_echo("one")
    library.copy(ModelName.parse("one"), ModelName.parse("echo"))
    assert engine.submit(ask("a", "one"), keep_alive_s=-1).completion().text == "a"
    assert engine.submit(ask("a", "echo"), keep_alive_s=-1).completion().text == "a"
    (model,) = engine.loaded()
    renew()
    assert engine.submit(ask("b", "echo")).completion().text == "b"
    assert [one.expires_in_s for one in engine.loaded() if one.pid == model.pid] == [float("inf")]


def test_a_load_without_progress_is_ended_with_its_process(start, add_echo):
    add_echo(options='{"load_s": 60}')
    engine = start(load_timeout_s=0.3)
    streams = [engine.submit(ask(text)) for text in "ab"]
    for stream in streams:
        with pytest.raises(LoadStalled, match=r"^loading `echo:latest` made no progress for 0.3 s, so it was ended$"):
            stream.completion()
    assert engine.loaded() == []
    assert children() == []


@pytest.mark.parametrize("load_timeout_s", [0.0, -1.0])
def test_a_load_may_take_for_ever_where_the_settings_say_so(start, add_echo, load_timeout_s):
    add_echo(options='{"load_s": 0.5}')
    assert start(load_timeout_s=load_timeout_s).submit(ask("a")).completion().text == "a"
