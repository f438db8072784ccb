"""Pull and push: progress in Ollama's words, clients that wait for the same pull, and clients that leave."""

import http.client
import json
import re
import time
from contextlib import closing

import ollama
import pytest

from olpipe.network.proof import prove
from olpipe.testing.models import write_tiny_gguf

NO_MANIFEST = "pull model manifest: file does not exist"


@pytest.fixture
def client(workshop):
    with closing(ollama.Client(workshop.url)) as client:
        yield client


@pytest.fixture
def pulling(workshop):
    """Return a function that begins a pull, and returns its stream and its connection."""
    opened = []

    def pulling(name):
        connection = http.client.HTTPConnection("127.0.0.1", workshop.port)
        connection.request("POST", "/api/pull", json.dumps({"model": name}))
        opened.extend([connection.getresponse(), connection])
        return opened[-2:]

    yield pulling
    for one in opened:
        one.close()


@pytest.fixture
def box(shelf):
    """Return a function that puts a model on the shelf. The source waits until the gate that it returns is gone."""
    made = []

    def box(name, *, waits=False, seed=0):
        write_tiny_gguf(shelf / f"{name}.gguf", seed=seed)
        gate = shelf / f"{name}.wait"
        if waits:
            gate.touch()
        made.extend([shelf / f"{name}.gguf", gate])
        return gate

    yield box
    for path in made:
        path.unlink(missing_ok=True)


def log(shelf, name):
    path = shelf / f"{name}.log"
    return path.read_text().split() if path.exists() else []


def until(condition):
    """Wait until something holds; fail after a minute."""
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_pull_says_what_it_does_in_ollamas_words(client, shelf):
    steps = list(client.pull("shelf-tiny", stream=True))
    statuses = [step.status for step in steps]
    assert statuses[0] == "pulling manifest"
    assert statuses[-2:] == ["writing manifest", "success"]
    assert statuses.index("verifying sha256 digest") < statuses.index("writing manifest")
    (layer,) = {step.digest for step in steps if step.digest}
    stored = [step for step in steps if step.digest]
    assert {step.status for step in stored} == {f"pulling {layer.removeprefix('sha256:')[:12]}"}
    assert stored[-1].completed == stored[-1].total == (shelf / "shelf-tiny.gguf").stat().st_size
    assert "shelf-tiny:latest" in [model.model for model in client.list().models]


def test_a_pull_without_a_stream_says_how_it_ended(workshop):
    assert workshop.post("/api/pull", {"model": "shelf-tiny", "stream": False}) == (200, {"status": "success"})


def test_a_pulled_model_answers(client):
    client.pull("shelf-tiny")
    assert client.generate("shelf-tiny", "the cat", options={"num_predict": 3}).eval_count == 3


def test_a_model_that_no_source_has_is_an_error_line(workshop, client):
    first, last = workshop.lines("/api/pull", {"model": "nobody-has-it"})
    assert first == {"status": "pulling manifest"}
    assert last["error"] == NO_MANIFEST
    status, answer = workshop.post("/api/pull", {"name": "nobody-has-it", "stream": False})
    assert (status, answer["error"]) == (500, NO_MANIFEST)
    with pytest.raises(ollama.ResponseError, match=NO_MANIFEST):
        client.pull("nobody-has-it")


def test_what_goes_wrong_at_the_source_is_an_error_line(workshop, shelf, box):
    box("hollow")
    (shelf / "hollow.gguf").write_bytes(b"")
    *_, last = workshop.lines("/api/pull", {"model": "hollow"})
    assert last == {"error": "`hollow` is an empty box", "hint": "fill it", "kind": "PullFailed"}


@pytest.mark.parametrize(
    "name", ["file:/etc/passwd", "file:/nobody/has/this", "file:", "", "../../x", "a b", "@sha256:0"]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_cannot_ask_for_files_of_the_server(workshop, name, stream):
    status, answer = workshop.post("/api/pull", {"model": name, "stream": stream})
    assert (status, answer["error"]) == (400, "invalid model name")


def test_the_user_of_the_server_can_name_a_file_and_nobody_else(workshop, tmp_path):
    path = write_tiny_gguf(tmp_path / "own.gguf", seed=6)
    asked = {"model": f"file:{path}", "destination": "own:file", "stream": False}
    for wrong in ("", "x", "ü", prove(workshop.home, "file:/another.gguf"), prove(tmp_path, f"file:{path}")):
        status, answer = workshop.post("/api/pull", {**asked, "proof": wrong})
        assert (status, answer["error"]) == (400, "invalid model name")
    proved = {**asked, "proof": prove(workshop.home, f"file:{path}")}
    assert workshop.post("/api/pull", proved) == (200, {"status": "success"})
    names = [model["name"] for model in workshop.get("/api/tags")[1]["models"]]
    assert "own:file" in names
    assert "own:latest" not in names


def test_a_model_that_is_pulled_can_get_another_name(workshop):
    assert workshop.post("/api/pull", {"model": "shelf-tiny", "destination": "me/called:so", "stream": False})[0] == 200
    assert workshop.post("/api/show", {"model": "me/called:so"})[0] == 200
    status, answer = workshop.post("/api/pull", {"model": "shelf-tiny", "destination": "../x"})
    assert (status, answer["error"]) == (400, 'destination "../x" is invalid')


def test_two_clients_that_want_the_same_follow_one_pull(shelf, box, pulling):
    gate = box("joined", waits=True, seed=1)
    replies = [pulling(name)[0] for name in ("joined", "library/Joined:latest")]
    for reply in replies:
        assert json.loads(reply.readline()) == {"status": "pulling manifest"}
        assert json.loads(reply.readline())["status"] == "fetching joined"
    gate.unlink()
    for reply in replies:
        assert json.loads(reply.read().splitlines()[-1]) == {"status": "success"}
    assert log(shelf, "joined") == ["begun", "ended"]


def test_who_goes_away_cancels_the_pull(workshop, shelf, box, pulling):
    box("left", waits=True, seed=2)
    reply, connection = pulling("left")
    assert reply.readline()
    until(lambda: log(shelf, "left") == ["begun"])
    reply.close()
    connection.close()
    until(lambda: log(shelf, "left") == ["begun", "cancelled"])
    assert "left:latest" not in [model["name"] for model in workshop.get("/api/tags")[1]["models"]]


def test_a_pull_goes_on_as_long_as_one_client_waits(shelf, box, pulling):
    gate = box("kept", waits=True, seed=3)
    first, leaving = pulling("kept")
    assert first.readline()
    second, _ = pulling("kept")
    assert second.readline()
    first.close()
    leaving.close()
    for _ in range(10):
        assert json.loads(second.readline())["status"] == "fetching kept"
    gate.unlink()
    assert json.loads(second.read().splitlines()[-1]) == {"status": "success"}
    assert log(shelf, "kept") == ["begun", "ended"]


def test_a_pull_that_was_left_can_be_asked_for_again(workshop, box, pulling):
    gate = box("again", waits=True, seed=4)
    reply, connection = pulling("again")
    assert reply.readline()
    reply.close()
    connection.close()
    gate.unlink()
    assert workshop.lines("/api/pull", {"model": "again"})[-1] == {"status": "success"}


def test_without_a_registry_nothing_can_be_pushed_and_the_answer_says_so(workshop, client):
    with pytest.raises(ollama.ResponseError, match="`tiny:latest` cannot be pushed: registries are switched off"):
        client.push("tiny")
    assert workshop.post("/api/push", {"model": "nobody"})[0] == 404
    status, answer = workshop.post("/api/push", {"model": "../../x"})
    assert (status, answer["error"]) == (400, "invalid model name")


def test_lines_about_other_things_than_bytes_say_what_they_count(workshop, box):
    box("counted", seed=5)
    steps = workshop.lines("/api/pull", {"model": "counted"})
    converting = [step for step in steps if step["status"] == "converting"]
    assert converting
    assert {step["unit"] for step in converting} == {"tensors"}
    assert not any(re.search("sha256-|/", step["status"]) for step in steps)
