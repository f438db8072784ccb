"""What a user is told where the KV cache cannot be of the type that is asked for."""

from __future__ import annotations

import pytest

from olpipe.generation import GenerateRequest
from olpipe.messages import Message


def ask(model):
    return GenerateRequest(model, (Message.of("user", "hello"),))


def test_a_model_whose_cache_stays_as_it_is_says_so_once(start, add_echo, caplog):
    add_echo()
    engine = start(cache_type="q8_0")
    for _ in range(2):
        assert engine.submit(ask("echo"), keep_alive_s=0).completion().text == "hello"
        engine.unload("echo")
    said = "OLLAMA_KV_CACHE_TYPE has no effect on `echo:latest`: the backend `echo` does not quantise the KV cache"
    assert [record.getMessage() for record in caplog.records if "KV" in record.getMessage()] == [said]


@pytest.mark.parametrize("settings", [{}, {"cache_type": "f16"}])
def test_nothing_is_said_where_nothing_is_asked_for(start, add_echo, caplog, settings):
    add_echo()
    assert start(**settings).submit(ask("echo")).completion().text == "hello"
    assert "KV" not in caplog.text
