"""Closing the engine, whatever it is at: every stream ends, no process and no thread is left (`leaves_nothing`)."""

import time

import pytest

from olpipe.embedding import EmbedRequest
from olpipe.engine.manager import Engine
from olpipe.errors import GenerationError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.interfaces import ModelSource, Progress
from olpipe.messages import Message
from olpipe.model import ModelName
from tests.engine.processes import children


def ask(text: str, model: str = "echo") -> GenerateRequest:
    return GenerateRequest(model, (Message.of("user", text),))


def close(engine: Engine, *streams) -> None:
    engine.close()
    assert {stream.completion().finish_reason for stream in streams} == {FinishReason.CANCELLED}
    assert children() == []


class EndlessSource(ModelSource):
    """Announces `far`, and pulls it for ever."""

    scheme = "endless"
    pulling = False

    def names(self):
        return ["far"]

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        self.pulling = True
        while True:
            progress(Progress("pulling"))
            time.sleep(0.01)


def test_while_a_source_pulls(engine, plugins, until):
    source = EndlessSource()
    plugins.model_sources.register(source, "tests")
    streams = [engine.submit(ask("a", "far")) for _ in range(2)]
    until(lambda: source.pulling)
    close(engine, *streams)


def test_while_a_model_is_built(engine, add_echo, until):
    add_echo(options='{"build_s": 60}')
    streams = [engine.submit(ask("a")) for _ in range(2)]
    until(lambda: engine.loaded())
    close(engine, *streams)


def test_while_a_process_loads(engine, add_echo, until):
    add_echo(options='{"load_s": 60}')
    streams = [engine.submit(ask("a")) for _ in range(2)]
    until(children)
    close(engine, *streams)


def test_while_a_model_waits_for_a_place(start, add_echo):
    add_echo("one", '{"endless_on": "endless"}')
    add_echo("two")
    engine = start(max_loaded=1)
    running = engine.submit(ask("endless", "one"))
    words = iter(running)
    next(words)
    waiting = engine.submit(ask("b", "two"))
    held_back = engine.submit(ask("c", "one"))
    close(engine, running, waiting, held_back)


def test_while_requests_run_and_wait(engine, add_echo):
    add_echo(options='{"endless_on": "endless"}')
    streams = [engine.submit(ask("endless")) for _ in range(3)]
    words = iter(streams[0])
    next(words)
    close(engine, *streams)


def test_while_embeddings_wait(engine, add_echo):
    add_echo(options='{"endless_on": "endless"}')
    stream = engine.submit(ask("endless"))
    words = iter(stream)
    next(words)
    reply = engine.embed(EmbedRequest("echo", ("a",)))
    close(engine, stream)
    with pytest.raises(GenerationError, match="the request was cancelled"):
        reply.result()


def test_while_a_prompt_is_prepared(engine, add_echo, until):
    add_echo(options='{"slow_on": "slow", "prepare_s": 60}')
    stream = engine.submit(ask("slow"))
    until(lambda: engine.loaded() and engine.loaded()[0].pid and engine.loaded()[0].waiting == 0)
    close(engine, stream)


def test_while_a_process_that_grew_is_replaced(start, add_echo):
    add_echo(options='{"slots": 2, "endless_on": "endless"}')
    engine = start(memory_limit=1)
    running = engine.submit(ask("endless"))
    words = iter(running)
    next(words)
    assert engine.submit(ask("a")).completion().text == "a"
    late = engine.submit(ask("late"))
    close(engine, running, late)


def test_while_a_model_is_idle(engine, add_echo):
    add_echo()
    engine.load("echo", keep_alive_s=-1).result()
    engine.close()
    assert children() == []
    assert engine.loaded() == []


def test_before_anything_was_asked_and_twice(engine):
    engine.close()
    engine.close()
    for ask_late in (lambda: engine.submit(ask("late")), lambda: engine.load("echo")):
        with pytest.raises(ValueError, match="the engine is closed"):
            ask_late()
