"""Ollama's routes about models: tags, show, ps, copy and delete. The client's own types check every body."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import ollama
import pytest


@pytest.fixture
def client(server):
    with closing(ollama.Client(server.url)) as client:
        yield client


@pytest.fixture
def own(workshop):
    with closing(ollama.Client(workshop.url)) as client:
        yield client


def row(client, name):
    return next(model for model in client.list().models if model.model == name)


def test_tags_list_the_newest_first(workshop, own):
    own.copy("tiny", "newer")
    own.copy("tiny", "newest")
    names = [model["name"] for model in workshop.get("/api/tags")[1]["models"]]
    assert names[:2] == ["newest:latest", "newer:latest"]
    assert "tiny:latest" in names
    for name in ("newer", "newest"):
        own.delete(name)


def test_tags_say_what_each_model_is(server, client):
    found = row(client, "tiny:latest")
    assert found.details.format == "gguf"
    assert found.details.family == "llama"
    assert found.details.parent_model == ""
    assert found.size > 10_000
    assert found.modified_at > datetime.now(UTC) - timedelta(days=1)
    assert int(found.digest, 16)


def test_tags_may_be_asked_for_their_headers_alone(server):
    assert server.call("HEAD", "/api/tags", None) == (200, "")


def test_tags_without_any_model_are_an_empty_list(start_server, tmp_path):
    alone = start_server(OLPIPE_HOME=str(tmp_path / "empty"))
    assert alone.get("/api/tags") == (200, {"models": []})


@pytest.mark.parametrize(
    ("name", "abilities"),
    [
        ("tiny", ["completion"]),
        ("thinker", ["completion", "tools", "thinking"]),
        ("seer", ["completion", "vision"]),
        ("vectors", ["embedding"]),
    ],
)
def test_tags_and_show_agree_on_what_a_model_can_do(server, client, name, abilities):
    listed = {model["name"]: model["capabilities"] for model in server.get("/api/tags")[1]["models"]}
    assert listed[f"{name}:latest"] == client.show(name).capabilities == abilities


def test_what_a_model_is_listed_with_is_what_it_is_asked_for(client):
    assert client.chat("thinker", [{"role": "user", "content": "hi"}], think=True, options={"num_predict": 2}).done
    with pytest.raises(ollama.ResponseError, match='"tiny" does not support thinking'):
        client.chat("tiny", [{"role": "user", "content": "hi"}], think=True)


def test_show_has_what_clients_look_for(server, client):
    shown = client.show("tiny")
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 2048
    assert shown.modelinfo["general.parameter_count"] > 1000
    assert shown.modelinfo["tokenizer.ggml.tokens"] is None
    assert "tokenizer.chat_template" not in shown.modelinfo
    assert "<|im_start|>" in shown.template
    assert shown.modelfile.splitlines()[1] == "FROM tiny:latest"
    assert shown.details.family == "llama"
    body = server.post("/api/show", {"model": "tiny"})[1]
    assert {"name": "output_norm.weight", "type": "F32", "shape": [64]} in body["tensors"]


def test_show_gives_long_arrays_where_all_is_asked_for(server):
    _, body = server.post("/api/show", {"name": "tiny", "verbose": True})
    assert len(body["model_info"]["tokenizer.ggml.tokens"]) > 200


def test_no_path_of_the_server_is_in_what_show_says(server):
    for name in ("tiny", "seer", "vectors", "photo-mini"):
        status, body = server.post("/api/show", {"model": name})
        assert status == 200
        assert str(server.home) not in json.dumps(body), name
        assert "sha256" not in body["modelfile"]


def test_show_tells_of_the_vision_encoder(server):
    _, body = server.post("/api/show", {"model": "seer"})
    assert body["projector_info"]["general.architecture"] == "clip"
    assert "projector_info" not in server.post("/api/show", {"model": "tiny"})[1]


def test_show_knows_the_architecture_of_a_model_without_a_gguf_file(client):
    info = client.show("vectors").modelinfo
    assert info["general.architecture"] == "bert"
    assert info["bert.context_length"] > 0
    assert info["bert.block_count"] > 0


def test_show_takes_other_texts_in_place_of_the_models_own(server):
    asked = {
        "model": "tiny",
        "system": "Be brief.",
        "template": "{% x %}",
        "options": {"temperature": 0.5, "stop": ["a"]},
    }
    _, body = server.post("/api/show", asked)
    assert (body["system"], body["template"]) == ("Be brief.", "{% x %}")
    assert body["parameters"].splitlines() == [f'{"stop":<30} "a"', f"{'temperature':<30} 0.5"]
    assert "PARAMETER stop a" in body["modelfile"]
    assert "system" not in server.post("/api/show", {"model": "tiny"})[1]


def test_copilot_finds_the_name_that_it_asked_for(server):
    _, body = server.post("/api/show", {"model": "TINY"}, User_Agent="GitHubCopilotChat/0.31")
    assert body["model_info"]["general.basename"] == "TINY"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"model": "nobody"}, 404, "model 'nobody:latest' not found"),
        ({"model": "../x"}, 400, "invalid model name"),
        ({"model": ""}, 400, "model is required"),
        ({}, 400, "model is required"),
        ({"model": "tiny", "options": {"temperature": "hot"}}, 400, 'option "temperature" must be of type float32'),
    ],
)
def test_show_refuses_in_ollamas_words(server, body, status, error):
    found, answer = server.post("/api/show", body)
    assert (found, answer["error"]) == (status, error)


def test_ps_shows_what_is_loaded_and_for_how_long(client):
    client.generate("tiny", keep_alive=600)
    found = next(model for model in client.ps().models if model.model == "tiny:latest")
    assert timedelta(minutes=9) < found.expires_at - datetime.now(UTC) < timedelta(minutes=11)
    assert (found.size_vram, found.context_length, found.details.family) == (0, 2048, "llama")
    assert found.size > 1_000_000
    assert found.digest == row(client, "tiny:latest").digest


def test_ps_shows_a_model_that_stays_for_ever_with_a_far_date(server, client):
    client.generate("thinker", keep_alive=-1)
    found = next(model for model in server.get("/api/ps")[1]["models"] if model["name"] == "thinker:latest")
    assert datetime.fromisoformat(found["expires_at"]).year > 2200
    assert (found["loading"], found["queue"], found["active"]) == (None, 0, 0)
    assert "context_length" not in found["details"]


def test_a_copy_is_the_same_model_under_another_name(own):
    assert own.copy("tiny", "twin").status == "success"
    assert row(own, "twin:latest").digest == row(own, "tiny:latest").digest
    assert own.delete("twin").status == "success"
    assert "twin:latest" not in [model.model for model in own.list().models]


def test_names_are_found_in_any_case_and_keep_their_spelling(own):
    own.copy("TINY", "Spelling")
    own.copy("tiny", "sPELLING")
    names = [model.model for model in own.list().models]
    assert "Spelling:latest" in names
    assert "sPELLING:latest" not in names
    own.delete("spelling")


def test_a_model_is_unloaded_before_it_is_deleted(own):
    own.create("doomed", from_="tiny", system="Its digest is another one, so it has a process of its own.")
    own.generate("doomed", keep_alive=600)
    assert "doomed:latest" in [model.name for model in own.ps().models]
    own.delete("doomed")
    assert "doomed:latest" not in [model.name for model in own.ps().models]
    with pytest.raises(ollama.ResponseError, match="model 'doomed' not found"):
        own.generate("doomed", "hi")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/api/copy", {"source": "nobody", "destination": "x"}, 404, 'model "nobody" not found'),
        ("POST", "/api/copy", {"source": "a b", "destination": "x"}, 400, 'source "a b" is invalid'),
        ("POST", "/api/copy", {"source": "tiny", "destination": "../x"}, 400, 'destination "../x" is invalid'),
        ("DELETE", "/api/delete", {"model": "nobody"}, 404, "model 'nobody' not found"),
        ("DELETE", "/api/delete", {"name": "../x"}, 400, 'name "../x" is invalid'),
        ("DELETE", "/api/delete", {}, 400, 'name "" is invalid'),
    ],
)
def test_copy_and_delete_refuse_in_ollamas_words(workshop, method, path, body, status, error):
    found, answer = workshop.call(method, path, body)
    assert (found, answer["error"]) == (status, error)
