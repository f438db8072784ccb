"""Ollama's generate and chat, over HTTP from a server that runs."""

import base64
import json
import re

import pytest

from olpipe.testing.images import photo

GENERATE = {"model": "tiny", "prompt": "the cat", "options": {"num_predict": 5, "seed": 1}}
CHAT = {**GENERATE, "messages": [{"role": "user", "content": "the cat"}]}


@pytest.mark.parametrize(("path", "body"), [("/api/generate", GENERATE), ("/api/chat", CHAT)])
def test_a_stream_has_the_text_of_the_whole_answer(server, path, body):
    def said(piece):
        return piece["response"] if "response" in piece else piece["message"]["content"]

    status, whole = server.post(path, {**body, "stream": False})
    lines = server.lines(path, body)
    assert status == 200
    assert "".join(map(said, lines)) == said(whole) != ""
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert said(lines[-1]) == ""
    assert lines[-1]["done_reason"] == whole["done_reason"] == "length"
    assert lines[-1]["eval_count"] == whole["eval_count"] == 5


def test_a_model_that_is_not_here_is_not_pulled(server):
    assert server.post("/api/chat", {**CHAT, "model": "nobody"}) == (
        404,
        {"error": "model 'nobody' not found", "hint": "run `olpipe pull nobody`", "kind": "ModelNotFound"},
    )


def test_an_empty_prompt_loads_and_unloads(server):
    _, loaded = server.post("/api/generate", {"model": "tiny"})
    assert (loaded["done"], loaded["done_reason"], loaded["response"]) == (True, "load", "")
    _, unloaded = server.post("/api/chat", {"model": "tiny", "messages": [], "keep_alive": 0})
    assert (unloaded["done_reason"], unloaded["message"]["content"]) == ("unload", "")


@pytest.mark.parametrize("format_", ["json", {"type": "object", "properties": {"n": {"type": "integer"}}}])
def test_a_format_holds_the_answer(server, format_):
    for seed in range(5):
        body = {**CHAT, "format": format_, "stream": False, "options": {"temperature": 1.5, "seed": seed}}
        _, answer = server.post("/api/chat", body)
        assert isinstance(json.loads(answer["message"]["content"]), dict)


@pytest.mark.parametrize(("options", "tokens"), [({}, 3), ({"num_predict": 4}, 4)])
def test_a_limit_beside_the_options_counts(server, options, tokens):
    body = {"model": "tiny", "prompt": "the cat", "stream": False, "max_output_tokens": 3, "options": options}
    assert server.post("/api/generate", body)[1]["eval_count"] == tokens


def test_a_photo_reaches_the_model(server):
    def ask(width, height):
        images = [base64.b64encode(photo(width, height)).decode()]
        body = {
            "model": "seer", "stream": False, "logprobs": True, "options": {"temperature": 0, "num_predict": 1},
            "messages": [{"role": "user", "content": "what is it?", "images": images}],
        }  # fmt: skip
        status, answer = server.post("/api/chat", body)
        assert status == 200, answer
        return answer["logprobs"][0]["logprob"]

    assert ask(64, 32) == pytest.approx(ask(64, 32), abs=1e-4)
    assert ask(64, 32) != pytest.approx(ask(32, 64), abs=1e-4)


def test_embeddings_have_length_one(server):
    _, found = server.post("/api/embed", {"model": "vectors", "input": ["the cat", "a dog"]})
    assert [round(sum(value * value for value in row), 3) for row in found["embeddings"]] == [1, 1]


def ask_about(server, image, **options):
    body = {
        "model": "seer", "stream": False, "logprobs": True, "options": {"temperature": 0, "num_predict": 1, **options},
        "messages": [{"role": "user", "content": "what is it?", "images": [base64.b64encode(image).decode()]}],
    }  # fmt: skip
    status, answer = server.post("/api/chat", body)
    assert status == 200, answer
    return answer


def test_a_photo_that_is_stored_sideways_is_turned(server):
    upright, *turned = (
        ask_about(server, photo(64, 32, orientation=orientation, file_format="PNG")) for orientation in (1, 3, 6, 8)
    )
    for answer in turned:
        assert answer["logprobs"][0]["logprob"] == pytest.approx(upright["logprobs"][0]["logprob"], abs=1e-4)
        assert answer["prompt_eval_count"] == upright["prompt_eval_count"]


def test_a_request_says_how_many_tokens_a_photo_may_take(server):
    image = photo(400, 400)
    many, few = (ask_about(server, image, image_tokens=tokens)["prompt_eval_count"] for tokens in (64, 4))
    assert many - few >= 30
    assert server.post("/api/chat", {**CHAT, "options": {"image_tokens": 9}})[0] == 400


@pytest.mark.parametrize(
    ("format_", "pattern"),
    [
        ({"type": "regex", "pattern": "[a-c]{3}-[0-9]{2}"}, "[a-c]{3}-[0-9]{2}"),
        ({"type": "lark", "grammar": 'start: ("yes" | "no") "!"'}, "(yes|no)!"),
    ],
)
def test_a_format_may_be_an_expression_or_a_grammar(server, format_, pattern):
    for seed in range(5):
        body = {**CHAT, "format": format_, "stream": False, "options": {"temperature": 1.5, "seed": seed}}
        _, answer = server.post("/api/chat", body)
        assert re.fullmatch(pattern, answer["message"]["content"])


def test_a_schema_that_cannot_be_followed_is_refused_with_the_place(server):
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "objekt"}}}}
    status, answer = server.post("/api/chat", {**CHAT, "format": schema})
    assert status == 400
    assert "`$.properties.a.items.type`" in answer["error"]
