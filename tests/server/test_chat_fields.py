"""Fields of /api/chat that Ollama does not have."""

import base64
import io
import json

import pytest
from PIL import Image

from olpipe.testing.images import photo
from tests.cli.answering import echo_home, echo_server, echo_site, start_server

__all__ = ["echo_home", "echo_server", "echo_site", "start_server"]

SIDE = {"type": "integer"}
BOX = {"type": "object", "properties": dict.fromkeys("xywh", SIDE), "required": list("xywh")}


def encoded(data):
    return base64.b64encode(data).decode()


def ask(server, model, *messages, **fields):
    """Return status and body of an answer in one piece."""
    turns = [message if isinstance(message, dict) else {"role": "user", "content": message} for message in messages]
    return server.post("/api/chat", {"model": model, "messages": turns, "stream": False, **fields})


def test_the_last_line_counts_what_the_format_left_no_choice_about(server):
    schema = {"type": "object", "properties": {"title": {"enum": ["cat", "dog"]}}, "required": ["title"]}
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "format": schema}
    last = server.lines("/api/chat", body)[-1]
    assert 0 < last["eval_forced_count"] < last["eval_count"]
    assert last["spliced_count"] == 0
    assert last["queue_duration"] >= 0
    assert "images" not in last


def test_the_last_line_says_how_each_image_was_seen(server):
    images = [encoded(photo(120, 80)), encoded(photo(56, 56))]
    _, body = ask(server, "seer", {"role": "user", "content": "what?", "images": images}, options={"num_predict": 2})
    assert [image["tokens"] > 0 for image in body["images"]] == [True, True]
    assert body["images"][0]["width"] > body["images"][0]["height"]
    assert body["encode_duration"] > 0
    assert body["prompt_eval_duration"] >= body["fit_duration"] + body["encode_duration"]


@pytest.mark.parametrize("route", ["/api/chat", "/api/generate"])
def test_perceivers_tell_a_model_of_texts_about_a_photo(server, route):
    images = [encoded(photo())]
    asked = {"prompt": "what?", "images": images, "messages": [{"role": "user", "content": "what?", "images": images}]}
    body = {"model": "tiny", **asked, "stream": False, "options": {"num_predict": 2}}
    assert server.post(route, body)[0] == 400
    assert server.post(route, {**body, "perceivers": ["photo-mini"]})[0] == 200
    status, error = server.post(route, {**body, "perceivers": ["photo-mimi"]})
    assert (status, error["error"], error["kind"]) == (400, "no perceiver is called `photo-mimi`", "UnknownName")


def test_a_perceiver_that_is_missing_is_an_error_when_a_model_is_loaded_for_it(server):
    body = {"model": "tiny", "messages": [], "perceivers": ["nobody"]}
    assert server.post("/api/chat", body)[1]["error"] == "no perceiver is called `nobody`"


@pytest.mark.parametrize("wrong", ["photo-mini", [1]])
def test_perceivers_are_a_list_of_names(server, wrong):
    assert ask(server, "tiny", "hello", perceivers=wrong)[0] == 400


def test_the_turns_of_a_model_can_be_left_out(echo_server):
    usual, without = (ask(echo_server, "full", "hello you", **more)[1] for more in ({}, {"opening": False}))
    assert usual["prompt_eval_count"] - without["prompt_eval_count"] == len(["Who", "are", "you?", "An", "echo."])


def test_what_is_left_out_of_a_schema_is_named_at_the_end(echo_server):
    message = {"role": "user", "content": "Where?", "images": [encoded(photo())]}
    schema = {"type": "object", "properties": {"n": {"const": 7}, "box": BOX}, "required": ["n", "box"]}
    _, body = ask(echo_server, "boxless", message, format=schema)
    assert json.loads(body["message"]["content"]) == {"n": 7}
    assert body["left_out"] == ["$.properties.box"]
    assert list(body["format"]["properties"]) == ["n"]
    assert "format" not in ask(echo_server, "boxer", message, format=BOX)[1]


@pytest.mark.parametrize(("format_", "kind"), [("TIFF", "image/tiff"), ("TGA", "image/x-tga"), ("PPM", "image/ppm")])
def test_the_type_of_a_data_url_counts_where_the_bytes_do_not_tell_it(echo_server, format_, kind):
    file = io.BytesIO()
    Image.new("RGB", (48, 32)).save(file, format_)
    data = encoded(file.getvalue())
    assert ask(echo_server, "echo", {"role": "user", "content": "see", "images": [data]})[0] == 400
    typed = f"data:{kind};base64,{data}"
    status, body = ask(echo_server, "echo", {"role": "user", "content": "see", "images": [typed]})
    assert (status, body["message"]["content"]) == (200, "[image 48x32] see")


def test_show_names_perceivers_and_the_thoughts_of_opening_turns(echo_server):
    status, shown = echo_server.post("/api/show", {"model": "full"})
    assert (status, shown["perceivers"]) == (200, [])
    messages = [{"role": "assistant", "content": "Yes.", "thinking": "Hm."}]
    status, _ = echo_server.post("/api/create", {"model": "thoughtful", "from": "full", "messages": messages})
    assert status == 200
    assert echo_server.post("/api/show", {"model": "thoughtful"})[1]["messages"] == messages


def test_show_offers_the_name_that_was_meant(echo_server):
    status, body = echo_server.post("/api/show", {"model": "ecoh"})
    assert (status, body["hint"]) == (404, "did you mean `echo:latest`?")


def test_vectors_say_how_long_the_texts_took(server):
    _, body = server.post("/api/embed", {"model": "vectors", "input": "the dog"})
    assert 0 < body["prompt_eval_duration"] <= body["total_duration"]
