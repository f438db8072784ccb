"""Models made through the server: from others with new texts, and from files that were sent."""

import json
from contextlib import closing

import ollama
import pytest

from olpipe.testing.images import photo
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_monolithic_gguf, write_vision_gguf

TEMPLATE = "{% for message in messages %}[{{ message.content }}]{% endfor %}"
GO_TEMPLATE = "{{ if .System }}({{ .System }}){{ end }}[{{ .Prompt }}]<think>{{ .Response }}</think>"
GO_SEEING = """<|im_start|>system
{{ or .System "You are a helpful assistant." }}<|im_end|>
{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
ASKED = {"num_predict": 6, "temperature": 0}


@pytest.fixture
def client(workshop):
    with closing(ollama.Client(workshop.url)) as client:
        yield client


@pytest.fixture
def made(client):
    """Return a function that makes a model, which is deleted after the test."""
    names = set()

    def made(name, **fields):
        names.add(name)
        steps = list(client.create(name, stream=True, **fields))
        assert steps[-1].status == "success"
        return [step.status for step in steps]

    yield made
    for name in names:
        client.delete(name)


def said(client, model, **fields):
    return client.generate(model, "the cat", options=ASKED, **fields).response


def test_a_model_gets_new_texts_and_keeps_its_files(workshop, client, made):
    statuses = made(
        "brief",
        from_="tiny",
        system="Be brief.",
        parameters={"temperature": 0.1, "stop": ["x"]},
        license=["MIT", "BSD"],
    )
    assert statuses[0].startswith("using existing layer sha256:")
    assert sum(status.startswith("creating new layer sha256:") for status in statuses) == 4
    assert statuses[-2:] == ["writing manifest", "success"]
    assert "converting" not in statuses  # what was built for `tiny` is used
    shown = workshop.post("/api/show", {"model": "brief"})[1]
    assert (shown["system"], shown["license"]) == ("Be brief.", "MIT\nBSD")
    assert shown["parameters"].splitlines() == [f'{"stop":<30} "x"', f"{'temperature':<30} 0.1"]
    assert shown["details"]["parent_model"] == "tiny:latest"


def test_the_system_message_of_a_model_is_used(client, made):
    made("pirate", from_="tiny", system="You are a pirate.")
    assert said(client, "pirate") == said(client, "tiny", system="You are a pirate.")
    assert said(client, "pirate", system="Hello.") == said(client, "tiny", system="Hello.")


def test_the_messages_of_a_model_open_every_conversation(workshop, client, made):
    turns = [{"role": "user", "content": "the dog"}, {"role": "assistant", "content": "is on the street"}]
    made("taught", from_="tiny", messages=turns)
    asked = {"role": "user", "content": "the cat"}
    alone = client.chat("taught", [asked], options=ASKED)
    whole = client.chat("tiny", [*turns, asked], options=ASKED)
    assert alone.prompt_eval_count == whole.prompt_eval_count
    assert alone.message.content == whole.message.content
    assert client.generate("taught", "the cat", options=ASKED).prompt_eval_count == whole.prompt_eval_count
    assert workshop.post("/api/show", {"model": "taught"})[1]["messages"] == turns


def test_a_system_message_of_the_client_stays_before_the_messages_of_the_model(client, made):
    turns = [{"role": "user", "content": "the dog"}, {"role": "assistant", "content": "is on the street"}]
    made("ordered", from_="tiny", messages=turns)
    system, asked = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "the cat"}
    short = client.chat("ordered", [system, asked], options=ASKED)
    assert short.message.content == client.chat("tiny", [system, *turns, asked], options=ASKED).message.content


def test_the_jinja_template_of_a_model_is_used(client, made):
    made("bracketed", from_="tiny", template=TEMPLATE)
    assert said(client, "bracketed") == client.generate("tiny", "[the cat]", raw=True, options=ASKED).response
    assert client.show("bracketed").template == TEMPLATE


def test_a_template_of_go_is_kept_and_the_answer_says_that_it_is_not_used(client, made):
    statuses = made("gopher", from_="tiny", template="{{ .Prompt }}")
    assert "keeping a template that is not in Jinja; the model's own Jinja template is used" in statuses
    assert said(client, "gopher") == said(client, "tiny")
    shown = client.show("gopher")
    assert shown.template == client.show("tiny").template
    assert "TEMPLATE {{ .Prompt }}" in shown.modelfile


def test_a_template_of_go_is_used_where_the_files_have_none(client, made, tmp_path):
    digest = client.create_blob(write_tiny_gguf(tmp_path / "bare.gguf", seed=12, chat_template=""))
    statuses = made("bare", files={"bare.gguf": digest}, template=GO_TEMPLATE)
    assert not any(status.startswith("keeping a template") for status in statuses)
    raw = client.generate("bare", "[the cat]<think>", raw=True, options=ASKED)
    assert said(client, "bare") == raw.response
    assert client.chat("bare", [{"role": "user", "content": "the cat"}], options=ASKED).message.content == raw.response
    shown = client.show("bare")
    assert (shown.template, shown.capabilities) == (GO_TEMPLATE, ["completion", "thinking"])


def test_a_model_that_sees_takes_images_with_a_template_of_go(client, made, tmp_path):
    digest = client.create_blob(write_monolithic_gguf("qwen2_5_vl", tmp_path / "seer.gguf"))
    made("seer-plain", files={"seer.gguf": digest})
    made("seer-go", files={"seer.gguf": digest}, template=GO_SEEING)
    asked = [{"role": "user", "content": "the cat", "images": [photo(320, 240)]}]
    plain, by_go = (client.chat(name, asked, options=ASKED) for name in ("seer-plain", "seer-go"))
    assert plain.prompt_eval_count == by_go.prompt_eval_count > 20
    assert plain.message.content == by_go.message.content


@pytest.mark.parametrize("template", [TEMPLATE, "[{{ .Prompt }}]", "{{ range .Messages }}[{{ .Content }}]{{ end }}"])
def test_a_request_may_have_a_template_of_its_own(client, template):
    raw = client.generate("tiny", "[the cat]", raw=True, options=ASKED)
    assert said(client, "tiny", template=template) == raw.response


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ if .Prompt }}", "`template` is not valid: `{{ if }}` has no `{{ end }}` (line 1)"),
        ("{{ .Prompt.x }}", "chat template fails on this conversation: type string has no field `x` (line 1)"),
        ("{% for %}", "`template` is not valid"),
        ("{% for message in messages %}{{ message.__class__.__mro__ }}{% endfor %}", "chat template"),
    ],
)
def test_a_template_that_cannot_be_used_for_a_request_is_refused(workshop, template, error):
    status, answer = workshop.post(
        "/api/generate", {"model": "tiny", "prompt": "hi", "template": template, "stream": False}
    )
    assert status == 400
    assert error in answer["error"]


def test_a_model_is_made_of_a_file_that_was_sent(client, made, tmp_path):
    digest = client.create_blob(write_tiny_gguf(tmp_path / "sent.gguf", seed=11))
    statuses = made("sent", files={"anything.bin": digest}, system="Be brief.")
    assert statuses[0] == f"using existing layer {digest}"
    shown = client.show("sent")
    assert (shown.details.format, shown.details.family) == ("gguf", "llama")
    assert client.generate("sent", "the cat", options=ASKED).eval_count == 6


def test_a_model_that_sees_is_made_of_two_files(client, made, tmp_path):
    model, projector = write_vision_gguf("qwen2_5_vl", tmp_path)
    digests = [client.create_blob(path) for path in (model, projector)]
    made("seeing", files=dict(zip(["text.gguf", "parts/mmproj.gguf"], digests, strict=True)))
    assert client.show("seeing").capabilities == ["completion", "vision"]


def test_a_made_model_can_be_changed_under_its_own_name(client, made):
    made("changing", from_="tiny", system="One.", parameters={"seed": 1})
    made("changing", from_="changing", system="Two.")
    shown = client.show("changing")
    assert "SYSTEM Two." in shown.modelfile
    assert "PARAMETER seed 1" in shown.modelfile


def test_a_base_that_a_source_has_is_pulled(client, made, shelf):
    write_tiny_gguf(shelf / "base-on-shelf.gguf", seed=13)
    statuses = made("from-shelf", from_="base-on-shelf", system="Hello.")
    assert statuses[0] == "pulling manifest"
    assert "base-on-shelf:latest" in [model.model for model in client.list().models]


def test_the_weights_are_stored_as_finely_as_asked(client, made):
    assert "converting" in made("finer", from_="tiny", quantize="q8_0")


def test_a_create_without_a_stream_says_how_it_ended(client):
    assert client.create("whole", from_="tiny").status == "success"
    client.delete("whole")


NO_BLOB = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"model": "../x", "from": "tiny"}, "invalid model name"),
        ({"model": "", "from": "tiny"}, "invalid model name"),
        ({"from": "./weights.gguf"}, "invalid model name"),
        ({"from": "/etc/passwd"}, "invalid model name"),
        ({"from": "tiny", "files": {"a": NO_BLOB}}, "'from' and 'files' cannot be used together"),
        ({"files": {"../../x": NO_BLOB}}, "file path must be relative"),
        ({"files": {"/etc/x": NO_BLOB}}, "file path must be relative"),
        ({"files": {"a\\..\\b": NO_BLOB}}, "file path must be relative"),
        ({"files": {"a/../b": NO_BLOB}}, "file path must be relative"),
        ({"files": {"a": NO_BLOB}}, f'blob "{NO_BLOB}" not found'),
        ({"files": {"a": "sha256:../../x"}}, "invalid digest format"),
        ({"files": {"a": 3}}, "`files.a` must be a text"),
        ({"from": "tiny", "adapters": {"../a": NO_BLOB}}, "file path must be relative"),
        ({"from": "tiny", "parameters": {"temperature": "hot"}}, 'option "temperature" must be of type float32'),
        ({"from": "tiny", "parameters": {"temperatur": 1}}, "unknown parameter 'temperatur'"),
        ({"from": "tiny", "parameters": {"top_p": 7}}, 'option "top_p" cannot be 7: it must be between 0 and 1'),
        ({"from": "tiny", "quantize": "q2_K"}, "unsupported quantization type q2_K"),
        ({"from": "tiny", "template": "{% for %}"}, "the template cannot be used: "),
        ({"from": "tiny", "template": "{{ .Prompt"}, "the template cannot be used: "),
        ({"from": "tiny", "messages": [{"role": "judge", "content": "x"}]}, "message role must be one of "),
        ({"from": "tiny", "license": 3}, "`license` must be a list"),
        ({"from": "tiny", "renderer": "x"}, "`renderer` has no meaning here"),
    ],
)
def test_what_cannot_be_made_is_refused_before_the_answer_begins(workshop, fields, error):
    status, answer = workshop.post("/api/create", {"model": "never", **fields})
    assert status == 400, answer
    assert answer["error"].startswith(error)
    assert "never:latest" not in [model["name"] for model in workshop.get("/api/tags")[1]["models"]]


def test_a_base_that_nobody_has_is_not_found(workshop):
    status, answer = workshop.post("/api/create", {"model": "never", "from": "nobody"})
    assert (status, answer["error"]) == (404, "model 'nobody' not found")


@pytest.mark.parametrize("base", ["file:/etc/passwd", "file:/tmp/x/y"])
def test_a_base_cannot_be_a_file_of_the_server(workshop, base):
    status, answer = workshop.post("/api/create", {"model": "never", "from": base})
    assert status in (400, 404)
    assert "passwd" not in answer.get("hint", "")


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"a.gguf": b"GGUF"}, "`a.gguf` is not a sound GGUF file: "),
        ({"a.bin": b"nothing"}, "the model has no `genai_config.json`"),
        ({"genai_config.json": b"{"}, "the model is not a package that can be used: "),
        (
            {"genai_config.json": b'{"model": {"decoder": {"filename": "../x"}}}'},
            "the model is not a package that can be used: ",
        ),
    ],
)
def test_files_that_are_no_model_are_an_error_that_names_no_folder(workshop, client, tmp_path, files, error):
    digests = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        digests[name] = client.create_blob(tmp_path / name)
    *_, last = workshop.lines("/api/create", {"model": "never", "files": digests})
    assert last["error"].startswith(error)
    assert str(workshop.home) not in json.dumps(last)
    status, answer = workshop.post("/api/create", {"model": "never", "files": digests, "stream": False})
    assert (status, answer) == (400, last)


def test_an_adapter_of_another_kind_is_refused(workshop, client, tmp_path):
    digest = client.create_blob(write_tiny_gguf(tmp_path / "lora.gguf", seed=17))
    *_, last = workshop.lines("/api/create", {"model": "never", "from": "tiny", "adapters": {"lora.gguf": digest}})
    assert last["error"] == "`lora.gguf` is a GGUF file, and no adapter that can be read"
    assert str(workshop.home) not in json.dumps(last)
