"""Context lengths, prompts that are cut, and prompts that begin like the one before."""

import base64

import pytest

from olpipe.testing.images import photo

WORDS = "the cat is on the street and the dog "


def chat(turns):
    """Return questions and answers by turns, and a question at the end."""
    return [{"role": ("user", "assistant")[at % 2], "content": f"{at} {WORDS}"} for at in range(2 * turns + 1)]


def ask(server, messages, *, model="tiny", options=None, **more):
    options = {"num_predict": 4, "temperature": 0, **(options or {})}
    return server.post("/api/chat", {"model": model, "messages": messages, "options": options, "stream": False, **more})


def told(server, messages, **more):
    status, body = ask(server, messages, **more)
    assert status == 200, body
    return body


# --- how long a context is --------------------------------------------------------------------------


def test_prompt_and_answer_have_no_more_tokens_than_the_request_allows(server):
    body = told(server, [{"role": "user", "content": "the cat"}], options={"num_ctx": 64, "num_predict": -1})
    assert body["done_reason"] == "length"
    assert body["prompt_eval_count"] + body["eval_count"] == 64


def test_the_list_says_which_context_holds(server):
    def listed():
        (model,) = [one for one in server.get("/api/ps")[1]["models"] if one["name"] == "tiny:latest"]
        return model["context_length"]

    question = [{"role": "user", "content": "the cat"}]
    for asked, holds in ((128, 128), (100_000, 2048), (0, 2048)):  # more than the model has is as much as it has
        told(server, question, options={"num_ctx": asked})
        assert listed() == holds


def test_a_context_that_is_larger_than_the_setting_loads_the_model_anew(start_server):
    server = start_server(OLLAMA_CONTEXT_LENGTH="256")

    def loaded():
        return [model["context_length"] for model in server.get("/api/ps")[1]["models"]]

    status, body = ask(server, chat(10), truncate=False)
    assert (status, loaded()) == (400, [256])
    assert "and `tiny` holds 256" in body["error"]
    assert told(server, chat(10), truncate=False, options={"num_ctx": 1024})["prompt_eval_count"] > 256
    assert loaded() == [1024]
    status, body = ask(server, chat(10), truncate=False)
    assert status == 400, "a request that asks for nothing has what the setting says"
    assert ask(server, chat(10), truncate=False, options={"num_ctx": 4096})[0] == 200


def test_a_models_own_parameter_holds_unless_the_request_says_otherwise(start_server):
    server = start_server(copied=True, OLLAMA_CONTEXT_LENGTH="512")
    for name, length in (("short", 100), ("long", 1024)):
        made = server.post(
            "/api/create", {"model": name, "from": "tiny", "parameters": {"num_ctx": length}, "stream": False}
        )
        assert made[0] == 200, made
    status, body = ask(server, chat(4), model="short", truncate=False)
    assert status == 400
    assert "the request allows 100" in body["error"]
    assert told(server, chat(4), model="short", truncate=False, options={"num_ctx": 400})["prompt_eval_count"] > 100
    assert told(server, chat(16), model="long", truncate=False)["prompt_eval_count"] > 512


# --- what is cut ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_prompt_that_is_too_long_is_refused_where_it_must_not_be_cut(server, path):
    body = {"model": "tiny", "messages": chat(200), "prompt": WORDS * 300, "truncate": False}
    for stream in (True, False):
        status, answer = server.post(path, {**body, "stream": stream})
        assert status == 400
        assert "tokens, and `tiny` holds 2048" in answer["error"]
        assert all(hint in answer["hint"] for hint in ("`truncate`", "`num_ctx`", "OLLAMA_CONTEXT_LENGTH"))


def test_a_chat_of_1601_messages_is_cut_and_says_so(server):
    system = {"role": "system", "content": "Be brief."}
    body = told(server, [system, *chat(800)], options={"num_ctx": 512})
    assert body["truncated"] is True
    assert 1500 < body["truncated_messages"] < 1601
    assert body["truncated_tokens"] > 10_000
    assert 300 < body["prompt_eval_count"] < 512
    # what stays is the system message and the end of the chat
    kept = 1601 - body["truncated_messages"]
    alone = told(server, [system, *chat(800)[-kept:]], options={"num_ctx": 512})
    assert "truncated" not in alone
    assert alone["prompt_eval_count"] == body["prompt_eval_count"]
    assert alone["message"] == body["message"]


def test_the_last_line_of_a_stream_says_what_was_cut(server):
    body = {"model": "tiny", "messages": chat(100), "options": {"num_predict": 2, "num_ctx": 256}}
    *lines, last = server.lines("/api/chat", body)
    assert last["truncated_messages"] > 100
    assert all("truncated" not in line for line in lines)


def test_a_single_text_that_is_too_long_keeps_its_end(server):
    options = {"num_ctx": 256, "num_predict": 1, "temperature": 0}
    texts = [WORDS * 200 + end for end in ("is the cat a dog?", "is the dog a cat?")]
    answers = []
    for text in texts:
        body = {"model": "tiny", "prompt": text, "options": options, "stream": False, "logprobs": True}
        status, answer = server.post("/api/generate", body)
        assert status == 200, answer
        assert (answer["truncated"], answer["truncated_messages"]) == (True, 0)
        assert 200 < answer["prompt_eval_count"] < 256
        answers.append(answer["logprobs"][0]["logprob"])
    assert answers[0] != pytest.approx(answers[1], abs=1e-6)


def test_what_is_too_long_even_so_is_refused(server):
    messages = [{"role": "system", "content": WORDS * 50}, {"role": "user", "content": "the cat"}]
    status, body = ask(server, messages, options={"num_ctx": 256})
    assert status == 400
    assert "the request allows 256" in body["error"]
    assert "shorten the system message" in body["hint"]


def test_photos_of_a_long_chat_are_cut_with_their_messages(server):
    def turn(number):
        image = base64.b64encode(photo(64 + 32 * (number % 3), 64)).decode()
        return [
            {"role": "user", "content": f"{number} what is it?", "images": [image]},
            {"role": "assistant", "content": "a cat"},
        ]

    messages = [message for number in range(12) for message in turn(number)]
    body = told(server, [*messages, {"role": "user", "content": "and now?"}], model="seer", options={"num_ctx": 256})
    assert body["truncated_messages"] % 2 == 0
    assert 0 < body["truncated_messages"] < 24
    assert body["prompt_eval_count"] < 256


# --- what is read from the cache --------------------------------------------------------------------


@pytest.mark.parametrize(("model", "images"), [("tiny", []), ("seer", [base64.b64encode(photo(128, 96)).decode()])])
def test_the_next_turn_of_a_chat_is_read_from_the_cache(start_server, model, images):
    server = start_server()
    messages = [
        {"role": "system", "content": "Answer in a few words about the street and the dog."},
        {"role": "user", "content": "what is on the street?", "images": images},
    ]
    first = told(server, messages, model=model)
    assert first["prompt_eval_cached_count"] == 0
    before = first
    for question in ("and the cat?", "and the photo?", "what is with the dog?"):
        messages = [*messages, before["message"], {"role": "user", "content": question}]
        turn = told(server, messages, model=model)
        # The prompt before is there but for the tokens that open the answer, which are read together with it
        assert before["prompt_eval_count"] - 16 <= turn["prompt_eval_cached_count"] < turn["prompt_eval_count"]
        before = turn


def test_so_are_most_turns_of_a_chat_that_is_cut(start_server):
    server = start_server()
    cached = []
    for turns in range(100, 112):
        body = told(server, chat(turns), options={"num_ctx": 1024})
        assert body["truncated_messages"] > 0
        cached.append(body["prompt_eval_cached_count"] > 500)
    assert sum(cached) >= 6
