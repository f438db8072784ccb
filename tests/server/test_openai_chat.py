"""OpenAI's chat completions, asked for with OpenAI's own client."""

import json
import time

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.server.openai_checks import checked, data_url, events

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "the cat"}], "max_completion_tokens": 6, "seed": 1}
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client, **changes):
    """Return an answer, after the client's types have seen it as it came."""
    raw = client.chat.completions.with_raw_response.create(**{**ASK, **changes})
    return checked(ChatCompletion, json.loads(raw.text))


def stream(client, **changes):
    """Return the pieces of a stream, after the client's types have seen them."""
    with client.chat.completions.create(**{**ASK, **changes}, stream=True) as pieces:
        return [checked(ChatCompletionChunk, piece.to_dict()) for piece in pieces]


def text_of(pieces, at=0):
    choices = [choice for piece in pieces for choice in piece.choices if choice.index == at]
    return "".join(choice.delta.content or "" for choice in choices)


def refused(client, **changes):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{**ASK, **changes})
    assert set(raised.value.body) == {"message", "type", "param", "code"}
    assert raised.value.body["type"] == "invalid_request_error"
    return raised.value.body["message"]


def test_an_answer_has_the_shape_that_the_client_expects(client):
    answer = ask(client)
    (choice,) = answer.choices
    assert (answer.model, choice.index, choice.message.role, choice.finish_reason) == ("tiny", 0, "assistant", "length")
    assert choice.message.content
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 3600
    used = answer.usage
    assert used.completion_tokens == 6
    assert used.total_tokens == used.prompt_tokens + 6 > 6
    assert used.prompt_tokens_details.cached_tokens <= used.prompt_tokens


def test_a_stream_says_the_same_as_the_whole_answer(client):
    whole, pieces = ask(client), stream(client)
    assert text_of(pieces) == whole.choices[0].message.content
    first, last = pieces[0].choices[0], pieces[-1].choices[0]
    assert (first.delta.role, first.delta.content is not None) == ("assistant", True)
    assert [piece.choices[0].delta.role for piece in pieces[1:]] == [None] * (len(pieces) - 1)
    assert last.finish_reason == "length"
    assert last.delta.to_dict() == {}
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert len({(piece.id, piece.created, piece.model, piece.system_fingerprint) for piece in pieces}) == 1


def test_a_stream_ends_with_done_and_counts_tokens_only_where_that_is_asked_for(server):
    plain = [data for _, data in events(server, PATH, ASK)]
    counting = [data for _, data in events(server, PATH, {**ASK, "stream_options": {"include_usage": True}})]
    assert plain[-1] == counting[-1] == "[DONE]"
    assert all("usage" not in data for data in plain[:-1])
    assert [data["usage"] for data in counting[:-2]] == [None] * (len(counting) - 2)
    assert counting[-2]["choices"] == []
    assert counting[-2]["usage"]["completion_tokens"] == 6


def test_both_names_of_the_limit_count_and_the_newer_one_first(client):
    def length(**limits):
        asked = {name: value for name, value in ASK.items() if name != "max_completion_tokens"}
        return client.chat.completions.create(**asked, **limits).usage.completion_tokens

    assert length(max_tokens=3) == 3
    assert length(max_completion_tokens=4) == 4
    assert length(max_tokens=3, max_completion_tokens=5) == 5


def test_a_seed_makes_an_answer_repeatable_and_other_answers_have_other_seeds(client):
    three = [choice.message.content for choice in ask(client, n=3).choices]
    alone = [ask(client, seed=1 + at).choices[0].message.content for at in range(3)]
    assert three == alone
    assert len(set(three)) == 3


def test_several_answers_stream_side_by_side(client):
    pieces = stream(client, n=3, stream_options={"include_usage": True})
    whole = ask(client, n=3)
    assert [text_of(pieces, at) for at in range(3)] == [choice.message.content for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    ends = [choice.index for piece in pieces for choice in piece.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens == 18
    assert pieces[-1].usage.prompt_tokens == whole.usage.prompt_tokens == ask(client).usage.prompt_tokens


@pytest.mark.parametrize("as_list", [False, True])
def test_a_stop_text_ends_the_answer(client, as_list):
    whole = ask(client, max_completion_tokens=40).choices[0].message.content
    stop = whole[4:7]
    answer = ask(client, max_completion_tokens=40, stop=[stop, "\x00never"] if as_list else stop).choices[0]
    assert answer.message.content == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"


def test_logprobs_are_those_of_the_tokens(client):
    answer = ask(client, logprobs=True, top_logprobs=3, temperature=0)
    found = answer.choices[0].logprobs.content
    assert len(found) == 6
    assert b"".join(bytes(one.bytes) for one in found).decode(errors="replace") == answer.choices[0].message.content
    for one in found:
        assert [len(one.top_logprobs), one.top_logprobs[0].logprob] == [3, one.logprob]
        assert one.logprob <= 0
    pieces = stream(client, logprobs=True, top_logprobs=3, temperature=0)
    likely = [choice.logprobs for piece in pieces for choice in piece.choices if choice.logprobs]
    streamed = [one for logprobs in likely for one in logprobs.content]
    assert [one.token for one in streamed] == [one.token for one in found]
    assert ask(client).choices[0].logprobs is None


def test_a_bias_decides_which_token_comes(client):
    first = ask(client, logprobs=True, logit_bias={"70": 100}).choices[0]
    assert {one.token for one in first.logprobs.content} == {first.message.content[0]}
    assert first.message.content != ask(client).choices[0].message.content


def test_a_low_temperature_and_penalties_reach_the_sampler(client):
    texts = {ask(client, temperature=0, seed=seed).choices[0].message.content for seed in range(3)}
    assert len(texts) == 1
    bias = {"70": 20, "71": 19}
    same = ask(client, temperature=0, logit_bias=bias).choices[0].message.content
    for penalty in ({"frequency_penalty": 2}, {"presence_penalty": 2}):
        assert ask(client, temperature=0, logit_bias=bias, **penalty).choices[0].message.content != same


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_developer_speaks_as_the_system_does(client, role):
    def prompt_tokens(role):
        return ask(client, messages=[{"role": role, "content": "be brief"}, *ASK["messages"]]).usage.prompt_tokens

    assert prompt_tokens(role) == prompt_tokens("system") > ask(client).usage.prompt_tokens


def test_a_photo_in_a_data_url_reaches_the_model(client):
    def ask_about(*urls):
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        messages = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, *parts]}]
        changes = {"model": "seer", "messages": messages, "temperature": 0, "logprobs": True}
        answer = ask(client, **changes, max_completion_tokens=1)
        return answer.usage.prompt_tokens, answer.choices[0].logprobs.content[0].logprob

    (wide_tokens, wide), (again_tokens, again) = ask_about(data_url(64, 32)), ask_about(data_url(64, 32))
    assert (again_tokens, again) == (wide_tokens, pytest.approx(wide, abs=1e-4))
    assert ask_about(data_url(32, 64))[1] != pytest.approx(wide, abs=1e-4)
    assert ask_about(data_url(64, 32), data_url(64, 32))[0] > wide_tokens


def image_part(url):
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": [{"role": "user"}]}, "`messages[0].content` is missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "`messages[0].content[0].type` cannot be `v",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "file inputs are not currently supported"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "audio inputs are not currently supp"),
        ({"messages": image_part("data:image/png;base64,%%%")}, "`messages[0].content[0].image_url.url` is not base64"),
        ({"messages": image_part("http://127.0.0.1/a.png"), "model": "seer"}, "image URLs are not currently supported"),
        ({"messages": image_part(data_url(9, 9))}, "cannot see images"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "tool_calls[0].function.name` is missing"),
        ({"max_completion_tokens": 0}, "`max_completion_tokens` cannot be 0: it must be at least 1"),
        ({"temperature": -3}, 'option "temperature" cannot be -3'),
        ({"top_p": 2}, 'option "top_p" cannot be 2'),
        ({"n": 0}, "`n` cannot be 0: it must be between 1 and 128"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"logit_bias": {"the": 1}}, "`logit_bias.the` does not name a token"),
        ({"logit_bias": {"5": 101}}, "`logit_bias.5` must be a number between -100 and 100"),
        ({"reasoning_effort": "huge"}, 'invalid reasoning value: "huge"'),
        ({"reasoning_effort": "high"}, '"tiny" does not support thinking'),
        ({"stop": [1]}, 'option "stop" must be of type array'),
        ({"extra_body": {"functions": [{"name": "f"}]}}, "`functions` is not supported (describe the functions in `t"),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_place_is_named(client, changes, told):
    assert told in refused(client, **changes)


def test_a_model_that_is_not_here_is_told(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(**{**ASK, "model": "nobody"})
    body = raised.value.body
    assert (body["type"], body["code"]) == ("not_found_error", "model_not_found")
    assert body["message"] == "model 'nobody' not found (run `olpipe pull nobody`)"


def test_a_body_that_is_no_request_is_refused(server):
    for body in (b"", b"{", b"[]", b'{"model": 3}', b'{"model": "tiny"}', b'{"model": "tiny", "messages": "no"}'):
        status, told = server.post(PATH, body)
        assert (status, told["error"]["type"]) == (400, "invalid_request_error")
