"""Context lengths: one process serves the shorter ones too, and what is loaded says which one holds."""

import pytest

from olpipe.embedding import EmbedRequest
from olpipe.errors import ContextExceeded
from olpipe.generation import GenerateRequest
from olpipe.messages import Message
from olpipe.model import LoadOptions

SHORT, LONG = LoadOptions(context_length=2), LoadOptions(context_length=4)


def ask(text, **changes):
    return GenerateRequest("echo", (Message.of("user", text),), **changes)


def contexts(engine):
    return [model.options.context_length for model in engine.loaded()]


def test_a_process_with_a_longer_context_takes_the_place_of_one_with_a_shorter(engine, add_echo, until):
    add_echo()
    assert engine.submit(ask("a b"), options=SHORT, keep_alive_s=-1).completion().text == "a b"
    assert engine.submit(ask("a b c"), options=LONG).completion().text == "a b c"
    until(lambda: contexts(engine) == [4])
    assert engine.submit(ask("a b"), options=SHORT).completion().text == "a b"
    assert contexts(engine) == [4]


def test_a_request_for_a_shorter_context_has_no_more_in_a_longer_one(engine, add_echo):
    add_echo()
    engine.load("echo", options=LONG).result()
    with pytest.raises(ContextExceeded, match="the prompt takes 3 tokens, the model 2"):
        engine.submit(ask("a b c"), options=SHORT).completion()
    with pytest.raises(ContextExceeded, match="the prompt takes 2 tokens, the model 1"):
        engine.submit(ask("a b", context_length=1), options=SHORT).completion()
    assert contexts(engine) == [4]


def test_a_process_with_a_shorter_context_answers_what_it_was_asked_before_it_goes(engine, add_echo, until):
    add_echo(options='{"endless_on": "endless"}')
    running = engine.submit(ask("endless"), options=SHORT, keep_alive_s=-1)
    words = iter(running)
    next(words)
    assert engine.submit(ask("a b c"), options=LONG).completion().text == "a b c"
    assert {next(words).text for _ in range(100)} == {"endless"}
    running.cancel()
    until(lambda: contexts(engine) == [4])


def test_vectors_are_made_with_exactly_the_context_that_is_asked_for(engine, add_echo):
    add_echo()
    engine.load("echo", options=LONG).result()
    texts = ("a b c d",)
    cut = engine.embed(EmbedRequest("echo", texts), options=SHORT).result()
    whole = engine.embed(EmbedRequest("echo", texts), options=LONG).result()
    assert (cut.prompt_tokens, whole.prompt_tokens) == (2, 4)


def test_other_ways_to_load_do_not_share(engine, add_echo):
    add_echo()
    engine.load("echo", options=LONG).result()
    engine.load("echo", options=LoadOptions(context_length=2, threads=1)).result()
    assert sorted(contexts(engine)) == [2, 4]


@pytest.mark.parametrize(("asked", "told"), [(0, 4), (3, 3), (4, 4), (100, 4)])
def test_what_is_loaded_says_which_context_the_last_request_had(engine, add_echo, asked, told):
    add_echo()
    engine.submit(ask("a", context_length=asked), options=LONG).completion()
    assert [model.context_length for model in engine.loaded()] == [told]
