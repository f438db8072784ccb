"""Tokens over HTTP: a text as tokens, tokens as a text, and how many a question has."""

import base64

import pytest

from olpipe.testing.images import photo

CAT = {"model": "tiny", "text": "the cat"}


def tokenize(server, text, *, model="tiny", **more):
    status, body = server.post("/api/tokenize", {"model": model, "text": text, **more})
    assert status == 200, body
    assert body["model"] == model
    return body["tokens"]


def detokenize(server, tokens, *, model="tiny", **more):
    status, body = server.post("/api/detokenize", {"model": model, "tokens": tokens, **more})
    assert status == 200, body
    return body["text"]


@pytest.mark.parametrize("model", ["tiny", "seer", "photo-mini"])
@pytest.mark.parametrize("text", ["the cat", "", " Grüße,\n日本 🐈 ", '{"tags":["a"]}', "<|im_end|> and <|im_start|>"])
def test_tokens_spell_their_text(server, model, text):
    tokens = tokenize(server, text, model=model)
    assert detokenize(server, tokens, model=model) == text
    assert all(isinstance(token, int) for token in tokens)


def test_a_special_token_in_a_text_is_text_unless_asked_otherwise(server):
    text = "a<|im_end|>b"
    (end,) = tokenize(server, "<|im_end|>", special=True)
    assert end not in tokenize(server, text)
    special = tokenize(server, text, special=True)
    assert special[1] == end
    assert len(special) == 3
    assert detokenize(server, special) == "ab"
    assert detokenize(server, special, special=True) == text


def test_the_tokens_are_those_of_a_prompt(server):
    body = {
        "model": "tiny",
        "prompt": "the cat and the dog",
        "raw": True,
        "stream": False,
        "options": {"num_predict": 1},
    }
    _, answer = server.post("/api/generate", body)
    assert answer["prompt_eval_count"] == len(tokenize(server, "the cat and the dog"))


def test_the_text_has_other_names_too(server):
    expected = tokenize(server, "the cat")
    for name in ("content", "prompt"):
        assert server.post("/api/tokenize", {"model": "tiny", name: "the cat"})[1]["tokens"] == expected


def test_an_embedding_model_shows_its_tokens_too(server):
    tokens = tokenize(server, "the cat", model="vectors")
    _, counted = server.post("/api/embed", {"model": "vectors", "input": "the cat"})
    assert len(tokens) == counted["prompt_eval_count"] - 2  # without those at the beginning and the end
    assert detokenize(server, tokens, model="vectors") == "the cat"
    assert tokenize(server, "[SEP]", model="vectors", special=True) != tokenize(server, "[SEP]", model="vectors")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/tokenize", {"text": "a"}, 400, "model is required"),
        ("/api/tokenize", {"model": "tiny"}, 400, "`text` is missing"),
        ("/api/tokenize", {"model": "tiny", "text": 3}, 400, "`text` must be a text"),
        ("/api/tokenize", {**CAT, "special": "yes"}, 400, "`special` must be true or false"),
        ("/api/tokenize", {**CAT, "model": "nobody"}, 404, "model 'nobody' not found"),
        ("/api/detokenize", {"model": "tiny"}, 400, "`tokens` is missing"),
        ("/api/detokenize", {"model": "tiny", "tokens": 3}, 400, "`tokens` must be a list"),
        ("/api/detokenize", {"model": "tiny", "tokens": [1, "2"]}, 400, "`tokens[1]` must be the id of a token"),
        ("/api/detokenize", {"model": "tiny", "tokens": [True]}, 400, "`tokens[0]` must be the id of a token"),
        ("/api/detokenize", {"model": "tiny", "tokens": [1 << 63]}, 400, "`tokens[0]` must be the id of a token"),
        ("/api/detokenize", {"model": "tiny", "tokens": [-1]}, 400, "and no token -1"),
        ("/api/detokenize", {"model": "vectors", "tokens": [999_999]}, 400, "and no token 999999"),
    ],
)
def test_what_cannot_be_done_is_told(server, path, body, status, text):
    found, answer = server.post(path, body)
    assert found == status
    assert text in answer["error"]


def counted(server, **body):
    status, answer = server.post("/v1/messages/count_tokens", {"max_tokens": 1, **body})
    assert status == 200, answer
    return answer["input_tokens"]


def read(answer):
    """Return how many tokens the model was told; some of them may have been read from the cache."""
    return answer["usage"]["input_tokens"] + answer["usage"]["cache_read_input_tokens"]


def test_a_question_has_as_many_tokens_as_its_answer_says(server):
    messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "is on the street"}]
    messages += [{"role": "user", "content": "and the dog"}]
    for more in ({}, {"system": "say it in one word"}):
        _, answer = server.post("/v1/messages", {"model": "tiny", "messages": messages, "max_tokens": 1, **more})
        assert counted(server, model="tiny", messages=messages, **more) == read(answer)


def test_images_count(server):
    def say(width, height):
        source = {
            "type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(width, height)).decode(),
        }  # fmt: skip
        return [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "a cat?"}]}]

    small, large = say(64, 64), say(256, 256)
    assert counted(server, model="seer", messages=small) < counted(server, model="seer", messages=large)
    _, answer = server.post("/v1/messages", {"model": "seer", "messages": large, "max_tokens": 1})
    assert counted(server, model="seer", messages=large) == read(answer)


def test_a_question_that_does_not_fit_is_counted_all_the_same(server):
    messages = [{"role": "user", "content": "the cat " * 3000}]
    assert counted(server, model="tiny", messages=messages) > 3000
