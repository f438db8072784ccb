"""OpenAI's text completions, asked for with OpenAI's own client."""

import json

import openai
import pytest
from openai.types import Completion

from tests.server.openai_checks import checked, events

ASK = {"model": "tiny", "prompt": "the cat", "max_tokens": 5, "seed": 1}
PATH = "/v1/completions"


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client, **changes):
    return checked(Completion, json.loads(client.completions.with_raw_response.create(**{**ASK, **changes}).text))


def texts(answer):
    return [choice.text for choice in answer.choices]


def pieces(server, **changes):
    """Return the pieces of a stream, after the client's types have seen them.

    The types want a reason why an answer ended. A piece in the middle has none, as with OpenAI.
    """
    found = events(server, PATH, {**ASK, **changes})
    assert found.pop()[1] == "[DONE]"
    for _, data in found:
        ended = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in data["choices"]]
        checked(Completion, {**data, "choices": ended})
    return [data for _, data in found]


def streamed(found, at=0):
    return "".join(choice["text"] for data in found for choice in data["choices"] if choice["index"] == at)


def test_an_answer_has_the_shape_that_the_client_expects(client):
    answer = ask(client)
    (choice,) = answer.choices
    assert (answer.object, answer.model, choice.index, choice.finish_reason) == ("text_completion", "tiny", 0, "length")
    assert choice.text
    assert answer.id.startswith("cmpl-")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5


def test_a_stream_says_the_same_as_the_whole_answer(server, client):
    found = pieces(server, stream_options={"include_usage": True})
    assert streamed(found) == texts(ask(client))[0]
    assert [data["choices"][0]["finish_reason"] for data in found[:-1]] == [None] * (len(found) - 2) + ["length"]
    assert [data["usage"] for data in found[:-1]] == [None] * (len(found) - 1)
    assert (found[-1]["choices"], found[-1]["usage"]["completion_tokens"]) == ([], 5)
    assert len({(data["id"], data["created"]) for data in found}) == 1
    assert all("usage" not in data for data in pieces(server))


def test_several_prompts_have_several_answers_each(server, client):
    answer = ask(client, prompt=["the cat", "a dog"], n=2)
    alone = [texts(ask(client, prompt=prompt, seed=seed))[0] for prompt in ("the cat", "a dog") for seed in (1, 2)]
    assert texts(answer) == alone
    assert answer.usage.completion_tokens == 20
    assert answer.usage.prompt_tokens == sum(
        ask(client, prompt=prompt).usage.prompt_tokens for prompt in ("the cat", "a dog")
    )
    found = pieces(server, prompt=["the cat", "a dog"], n=2)
    assert [streamed(found, at) for at in range(4)] == alone


def test_an_echo_comes_before_the_answer(server, client):
    alone = texts(ask(client))[0]
    assert texts(ask(client, echo=True)) == ["the cat" + alone]
    assert streamed(pieces(server, echo=True)) == "the cat" + alone


def test_a_raw_prompt_goes_without_a_template(client):
    assert ask(client, extra_body={"raw": True}).usage.prompt_tokens < ask(client).usage.prompt_tokens


def test_logprobs_have_the_old_shape(server, client):
    letters = {"response_format": {"type": "regex", "pattern": "[a-z ]+"}}
    (choice,) = ask(client, logprobs=2, extra_body=letters).choices
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == [len("".join(found.tokens[:at])) for at in range(5)]
    assert [len(found.token_logprobs), [len(top) for top in found.top_logprobs]] == [5, [2] * 5]
    assert all(one <= max(top.values()) for one, top in zip(found.token_logprobs, found.top_logprobs, strict=True))
    parts = [data["choices"][0]["logprobs"] for data in pieces(server, logprobs=2, **letters)]
    for name in ("tokens", "text_offset"):
        assert [value for part in parts if part for value in part[name]] == getattr(found, name)
    assert ask(client).choices[0].logprobs is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt": None}, "`prompt` is missing"),
        ({"prompt": []}, "`prompt` is missing"),
        ({"prompt": {"text": "a"}}, "`prompt` must be a text, or a list of texts"),
        ({"prompt": [1, 2]}, "`prompt` is a list of tokens, which is not supported"),
        ({"prompt": [[1, 2], [3]]}, "`prompt` is a list of tokens, which is not supported"),
        ({"prompt": ["a", 3]}, "`prompt[1]` must be a text"),
        ({"prompt": ["a"] * 65, "n": 2}, "65 prompts with 2 answers each are more than 128 answers"),
        ({"best_of": 3}, "`best_of` is not supported"),
        ({"echo": True, "logprobs": 1}, "`logprobs` of an echoed prompt are not supported"),
        ({"logprobs": 21}, "`logprobs` cannot be 21"),
        ({"model": ""}, "model is required"),
        ({"suffix": "."}, '"tiny" does not support insert'),
    ],
)
def test_what_cannot_be_done_is_refused(server, changes, told):
    status, body = server.post(PATH, {**ASK, **changes})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error"), body
    assert told in body["error"]["message"]
