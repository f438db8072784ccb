"""What the server has counted, as Prometheus reads it."""

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.raw import connect

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "the cat"}], "options": {"num_predict": 5, "seed": 1}}


def numbers(server):
    """Return every number by its name and labels."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
        page = reply.read().decode()
    families = text_string_to_metric_families(page)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}


@pytest.fixture
def grown(server):
    """Return a function that says by how much numbers have grown since the test began."""
    before = numbers(server)

    def grown(*key):
        return numbers(server).get(key, 0) - before.get(key, 0)

    return grown


def test_tokens_and_times_of_an_answer_are_counted(server, grown):
    _, answer = server.post("/api/chat", {**CHAT, "stream": False})
    label = "tiny:latest"
    assert grown("olpipe_answers_total", "length", label) == 1
    assert grown("olpipe_prompt_tokens_total", label) == answer["prompt_eval_count"]
    assert grown("olpipe_cached_prompt_tokens_total", label) == answer["prompt_eval_cached_count"]
    assert grown("olpipe_sampled_tokens_total", label) == answer["eval_count"] == 5
    assert grown("olpipe_first_token_seconds_count", label) == 1
    assert grown("olpipe_tokens_per_second_count", label) == 1
    assert grown("olpipe_requests_total", "/api/chat", "200", "POST") == 1
    assert grown("olpipe_request_seconds_count", "/api/chat") == 1


def test_a_stream_is_counted_as_a_whole_answer_is(server, grown):
    lines = server.lines("/api/chat", {**CHAT, "model": "TINY:latest"})
    assert len(lines) > 2
    assert grown("olpipe_answers_total", "length", "tiny:latest") == 1
    assert grown("olpipe_sampled_tokens_total", "tiny:latest") == 5


def test_forced_tokens_are_counted_apart(server, grown):
    schema = {
        "type": "object",
        "properties": {"description": {"const": "a photo of the cat"}},
        "required": ["description"],
    }
    _, answer = server.post("/api/chat", {**CHAT, "format": schema, "stream": False})
    forced = grown("olpipe_forced_tokens_total", "tiny:latest")
    assert forced > 5
    assert forced + grown("olpipe_sampled_tokens_total", "tiny:latest") == answer["eval_count"]


@pytest.mark.parametrize("path", ["/api/embed", "/v1/embeddings"])
def test_texts_for_vectors_are_counted(server, grown, path):
    server.post(path, {"model": "vectors", "input": ["the cat", "a dog"]})
    assert grown("olpipe_prompt_tokens_total", "vectors:latest") > 2


def test_errors_are_counted_by_class_and_status(server, grown):
    server.post("/api/chat", {**CHAT, "model": "nobody"})
    server.post("/api/chat", b"{")
    server.get("/api/blobs")
    server.get("/api/no/such/route")
    assert grown("olpipe_errors_total", "ModelNotFound") == 1
    assert grown("olpipe_errors_total", "Refusal") == 1
    assert grown("olpipe_requests_total", "/api/chat", "404", "POST") == 1
    assert grown("olpipe_requests_total", "/api/chat", "400", "POST") == 1
    assert grown("olpipe_requests_total", "404", "any", "none") == 2


def test_what_clients_make_up_adds_no_lines(server):
    def lines():
        return {key[0] + str(key[1:]) for key in numbers(server)}

    server.post("/api/chat", {**CHAT, "model": "made-up"})
    server.get("/made/up")
    before = lines()
    for number in range(5):
        server.post("/api/chat", {**CHAT, "model": f"made-up-{number}"})
        server.get(f"/made/up/{number}")
        server.call("OPTIONS", f"/made/up/{number}", None)
        server.call("BREW", f"/made/up/{number}", None)
        server.lines("/api/chat", {**CHAT, "model": "tINY" if number % 2 else "Tiny:LATEST"})
    assert {line for line in lines() - before if "made" in line or "INY" in line or "BREW" in line} == set()


def test_loaded_models_and_open_requests_are_told(server):
    server.post("/api/generate", {"model": "tiny"})
    found = numbers(server)
    assert found["olpipe_model_memory_bytes", "tiny:latest"] > 10 << 20
    assert found["olpipe_models_loaded",] >= 1
    assert found["olpipe_queue_length",] == found["olpipe_model_waiting", "tiny:latest"] == 0
    assert found["olpipe_requests_open",] == 1  # the one that asks


def test_a_load_is_counted(server, grown):
    server.post("/api/generate", {"model": "tiny", "keep_alive": 0})
    server.post("/api/chat", {**CHAT, "stream": False})
    server.post("/api/chat", {**CHAT, "stream": False})
    assert grown("olpipe_load_seconds_count", "tiny:latest") == 1


def test_a_client_that_leaves_is_counted(server, grown):
    with connect(server) as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    while not grown("olpipe_requests_total", "/api/chat", "499", "POST"):
        pass
    assert numbers(server)["olpipe_requests_open",] == 1
