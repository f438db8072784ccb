"""Vectors through the engine."""

import numpy as np
import pytest

from olpipe.embedding import EmbedRequest
from olpipe.errors import BackendCrashed, GenerationError, ModelNotFound, UsageError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.messages import Message


def texts(*given: str, **options: object) -> EmbedRequest:
    return EmbedRequest("echo", given, **options)


def ask(text: str) -> GenerateRequest:
    return GenerateRequest("echo", (Message.of("user", text),))


def test_vectors_come_back_in_the_order_of_their_texts(engine, add_echo):
    add_echo()
    embeddings = engine.embed(texts("a", "b b", "ab")).result()
    expected = np.zeros((3, 26), np.float32)
    expected[0, 0] = expected[1, 1] = 1
    expected[2, :2] = 0.5**0.5
    assert np.allclose(embeddings.vectors, expected)
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.prompt_tokens == 4
    assert embeddings.timings.load_ns > 0
    assert engine.embed(texts("c", dimensions=2)).result().vectors.shape == (1, 2)


def test_vectors_are_made_beside_answers(engine, add_echo):
    add_echo(options='{"slots": 2, "endless_on": "endless"}')
    words = iter(engine.submit(ask("endless")))
    next(words)
    assert engine.embed(texts("a")).result().vectors.shape == (1, 26)
    assert next(words).text == "endless"


def test_embeddings_can_be_cancelled_while_they_wait(engine, add_echo):
    add_echo(options='{"endless_on": "endless"}')
    running = engine.submit(ask("endless"))
    words = iter(running)
    next(words)
    reply = engine.embed(texts("a"))
    reply.cancel()
    with pytest.raises(GenerationError, match=r"^the request was cancelled$"):
        reply.result()
    running.cancel()
    assert running.completion().finish_reason is FinishReason.CANCELLED
    assert engine.embed(texts("a")).result().prompt_tokens == 1


def test_embeddings_can_be_cancelled_while_their_model_loads(start, add_echo, gate, until):
    add_echo(options='{"build_s": 0.05}')
    engine = start(gate)
    reply = engine.embed(texts("a"))
    gate.wait_for_report()
    reply.cancel()
    with pytest.raises(GenerationError, match="cancelled"):
        reply.result()
    gate.open()
    until(lambda: engine.loaded() == [])


def test_a_reply_that_nobody_holds_any_more_is_cancelled(engine, add_echo, until):
    add_echo(options='{"endless_on": "endless"}')
    words = iter(engine.submit(ask("endless")))
    next(words)
    engine.embed(texts("a"))
    until(lambda: engine.loaded()[0].active == 1)


def test_what_goes_wrong_with_embeddings_is_raised(engine, add_echo):
    add_echo(options='{"fail_on": "bad", "crash_on": "die", "context_length": 2}')
    with pytest.raises(GenerationError, match="echo fails as told"):
        engine.embed(texts("good", "bad")).result()
    with pytest.raises(BackendCrashed):
        engine.embed(texts("die")).result()
    with pytest.raises(ModelNotFound):
        engine.embed(EmbedRequest("nobody", ("a",))).result()
    assert engine.embed(texts("good")).result().prompt_tokens == 1


def test_a_model_that_makes_no_embeddings_says_so(engine, add_echo):
    add_echo(options='{"embeds": false}')
    with pytest.raises(UsageError, match=r"^`echo` makes no embeddings$"):
        engine.embed(texts("a")).result()
