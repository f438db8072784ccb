"""`/api/pull` and `/api/push` with a registry."""

import json
from contextlib import closing

import ollama
import pytest

from olpipe.testing.models import write_tiny_gguf
from tests.server.started import Started
from tests.store.registry_server import RegistryServer, digest_of


@pytest.fixture(scope="module")
def registry():
    with RegistryServer() as registry:
        yield registry


@pytest.fixture(scope="module")
def serving(registry, tmp_path_factory):
    """Return a server whose default registry is `registry`."""
    home = tmp_path_factory.mktemp("registry-home")
    with Started(home, home / "log", OLPIPE_REGISTRY=registry.url) as started:
        yield started


@pytest.fixture
def client(serving):
    with closing(ollama.Client(serving.url)) as client:
        yield client


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


def test_a_model_is_pulled_with_ollamas_lines(serving, client, registry, weights):
    registry.put("library/tiny", [registry.layer(weights), registry.layer(b"Be kind.", "system")])
    lines = serving.lines("/api/pull", {"model": "tiny"})
    statuses = [line["status"] for line in lines]
    assert statuses[0] == "pulling manifest"
    assert statuses[-2:] == ["writing manifest", "success"]
    assert statuses.index("verifying sha256 digest") < statuses.index("writing manifest")
    model = [line for line in lines if line.get("digest") == digest_of(weights)]
    assert {line["status"] for line in model} == {f"pulling {digest_of(weights)[7:19]}"}
    assert model[-1]["completed"] == model[-1]["total"] == len(weights)
    assert client.generate("tiny", "the cat", options={"num_predict": 2}).eval_count == 2
    assert client.show("tiny").modelinfo["general.architecture"] == "llama"


def test_a_model_that_the_registry_does_not_have_is_an_error_in_ollamas_words(serving):
    *_, last = serving.lines("/api/pull", {"model": "nobody-has-it"})
    assert last["error"] == "pull model manifest: file does not exist"
    status, answer = serving.post("/api/pull", {"model": "nobody-has-it", "stream": False})
    assert (status, answer["error"]) == (500, "pull model manifest: file does not exist")


def test_no_question_makes_the_server_ask_the_registry(serving, registry):
    before = len(registry.asked)
    for path, body in (
        ("/api/generate", {"model": "unknown", "prompt": "hello"}),
        ("/api/chat", {"model": "unknown", "messages": []}),
        ("/api/show", {"model": "unknown"}),
        ("/api/embed", {"model": "unknown", "input": "x"}),
    ):
        assert serving.post(path, body)[0] == 404
    assert len(registry.asked) == before


def test_a_model_is_pushed_with_ollamas_lines(client, registry, weights):
    registry.put("library/pushed", [registry.layer(weights)])
    client.pull("pushed")
    name = f"{registry.host}/me/pushed:v1"
    client.copy("pushed", name)
    steps = list(client.push(name, insecure=True, stream=True))
    assert steps[0].status == "retrieving manifest"
    assert [step.status for step in steps[-2:]] == ["pushing manifest", "success"]
    assert {step.status for step in steps if step.digest == digest_of(weights)} == {
        f"pushing {digest_of(weights)[7:19]}"
    }
    assert registry.manifests["me/pushed", "v1"] == registry.manifests["library/pushed", "latest"]
    assert client.push(name, insecure=True).status == "success"
    assert client.pull(name, insecure=True).status == "success"


def test_a_model_of_a_file_that_was_sent_is_made_passed_on_removed_and_comes_back(client, registry, tmp_path):
    path = write_tiny_gguf(tmp_path / "sent.gguf", seed=9)
    digest = client.create_blob(path)
    name = f"{registry.host}/me/sent:v1"
    assert client.create(name, files={"sent.gguf": digest}, system="Be kind.").status == "success"
    assert client.push(name, insecure=True).status == "success"
    assert registry.blobs[digest] == path.read_bytes()
    (made,) = [model for model in client.list().models if model.model == name]
    assert client.delete(name).status == "success"
    assert name not in [model.model for model in client.list().models]
    registry.cuts = [100_000, 150_000]
    assert client.pull(name, insecure=True).status == "success"
    assert registry.cuts == []
    (again,) = [model for model in client.list().models if model.model == name]
    assert again.digest == made.digest == digest_of(registry.manifests["me/sent", "v1"][0]).removeprefix("sha256:")
    assert client.show(name).modelfile.count("Be kind.") == 1
    assert client.generate(name, "the cat", options={"num_predict": 2}).eval_count == 2


def test_plain_http_needs_to_be_allowed_for_each_request(serving, registry):
    name = f"{registry.host}/library/tiny"
    status, answer = serving.post("/api/pull", {"model": name, "stream": False})
    assert status == 500 and "does not speak HTTPS" in answer["error"]
    status, answer = serving.post("/api/pull", {"model": f"http://{name}", "stream": False})
    assert status == 400 and "plain HTTP" in answer["error"]
    assert serving.post("/api/pull", {"model": f"http://{name}", "insecure": True, "stream": False})[0] == 200


@pytest.mark.parametrize(("model", "status"), [("nobody", 404), ("../x", 400), ("", 400)])
def test_what_is_not_here_cannot_be_pushed(serving, model, status):
    assert serving.post("/api/push", {"model": model})[0] == status


def test_who_is_not_let_in_is_told_in_the_last_line(serving, client, registry, weights):
    registry.put("library/closed", [registry.layer(weights)])
    client.pull("closed")
    registry.user, registry.needs_token = "me:secret", True
    try:
        lines = serving.lines("/api/push", {"model": "closed", "insecure": True})
        assert "gives no access without a user name" in lines[-1]["error"]
        assert json.dumps(lines).count("secret") == 0
    finally:
        registry.user, registry.needs_token = "", False
