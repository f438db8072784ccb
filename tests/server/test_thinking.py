"""Thinking over HTTP: separated from the answer, and before a format. The models have random weights."""

import json

import pytest

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}
ASKED = [{"role": "user", "content": "the cat"}]


def body(**fields):
    options = {"num_predict": 60, "seed": 1, "temperature": 1.5, **fields.pop("options", {})}
    return {"model": "thinker", "messages": ASKED, "options": options, **fields}


def test_a_format_is_kept_behind_the_thinking(server):
    thought = []
    for seed in range(10):
        status, answer = server.post("/api/chat", body(think=True, format=SCHEMA, stream=False, options={"seed": seed}))
        assert status == 200, answer
        assert json.loads(answer["message"]["content"])["n"] in range(10)
        assert answer["done_reason"] == "stop"
        thought.append(answer["message"].get("thinking", ""))
    assert len(set(thought)) > 5  # a random model may end its thinking at once


def test_the_stream_has_all_thinking_before_the_document(server):
    pieces = []
    for seed in range(10):
        lines = server.lines("/api/chat", body(think=True, format=SCHEMA, options={"seed": seed}))
        thinking = [at for at, line in enumerate(lines) if line["message"].get("thinking")]
        content = [at for at, line in enumerate(lines) if line["message"]["content"]]
        assert max(thinking, default=0) <= min(content)
        assert json.loads("".join(line["message"]["content"] for line in lines))["n"] in range(10)
        assert lines[-1]["eval_count"] <= 60
        pieces.append(len(thinking))
    assert max(pieces) > 5


def test_generate_thinks_before_a_format_too(server):
    thought = False
    for seed in range(10):
        options = {"num_predict": 80, "seed": seed, "temperature": 1.5}
        asked = {"model": "thinker", "prompt": "the cat", "think": True, "format": SCHEMA, "options": options}
        lines = server.lines("/api/generate", asked)
        assert json.loads("".join(line["response"] for line in lines))["n"] in range(10)
        thought = thought or any(line.get("thinking") for line in lines)
    assert thought


def test_a_model_thinks_before_a_format_unless_it_is_told_not_to(server):
    usual, told, off = (
        [
            server.post("/api/chat", body(format=SCHEMA, stream=False, options={"seed": seed}, **think))[1]
            for seed in range(8)
        ]
        for think in ({}, {"think": True}, {"think": False})
    )
    assert [one["message"] for one in usual] == [one["message"] for one in told]
    assert not any("thinking" in one["message"] for one in off)
    assert all(json.loads(one["message"]["content"])["n"] in range(10) for one in off)


@pytest.mark.parametrize("num_predict", [1, 3, 9])
def test_the_document_is_whole_where_the_budget_is_too_small_to_think(server, num_predict):
    asked = body(think=True, format=SCHEMA, stream=False, options={"num_predict": num_predict})
    _, answer = server.post("/api/chat", asked)
    assert json.loads(answer["message"]["content"])["n"] in range(10)
    assert "thinking" not in answer["message"]


def test_a_model_that_does_not_think_says_so(server):
    status, answer = server.post("/api/chat", {**body(think=True), "model": "tiny"})
    assert (status, answer["error"]) == (400, '"tiny" does not support thinking')
    status, answer = server.post("/api/generate", {"model": "tiny", "prompt": "the cat", "think": "high"})
    assert (status, answer["error"]) == (400, '"tiny" does not support thinking')


def test_a_model_that_does_not_think_may_be_told_not_to(server):
    status, _ = server.post("/api/chat", {**body(think=False, stream=False), "model": "tiny"})
    assert status == 200
