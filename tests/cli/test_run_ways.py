"""`olpipe run` answers alike whether the engine of the command runs the model, or a server."""

import base64
import json
import os
import re
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from olpipe.testing.vision.photos import smooth_photo

GREEDY = ("--temperature", "0", "--max-tokens", "12")
SIDE = {"type": "integer"}
BOX = {"type": "object", "properties": dict.fromkeys("xywh", SIDE), "required": list("xywh")}
TITLE = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 12}}, "required": ["title"]}
DURATION = re.compile(r"(?<=: )\s*([\d.]+(ns|µs|ms|s|m|h))+|[\d.]+ tokens/s|[\d.]+ s$|\d+(?= reused)", re.MULTILINE)


@pytest.fixture
def ask(random_home, echo_site, echo_server, monkeypatch, tmp_path, capsys):
    """Return what runs a command in one way; gives exit code, stdout and stderr without times."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(echo_site)
    monkeypatch.setenv("PYTHONPATH", str(echo_site))
    monkeypatch.setenv("OLPIPE_HOME", str(random_home))

    def ask(way, *arguments, server=echo_server):
        monkeypatch.setenv("OLPIPE_SERVER", "on" if way == "there" else "off")
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(SystemExit) as ended:
            main(["run", *map(str, arguments)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, DURATION.sub("TIME", captured.err)

    return ask


@pytest.fixture
def both(ask):
    """Return what runs a command in both ways; gives what both wrote."""

    def both(*arguments):
        here, there = ask("here", *arguments), ask("there", *arguments)
        assert there == here
        return here

    return both


@pytest.fixture
def loaded(echo_server):
    """Return what says what the server says of the models that it has loaded, by their names."""
    return lambda: {model["name"]: model for model in echo_server.get("/api/ps")[1]["models"]}


def test_the_server_answers_where_one_runs(ask, loaded):
    assert ask("there", "full", "hello you") == (0, "hello you\n", "")
    assert "full:latest" in loaded()


def test_a_plain_answer_and_its_statistics(both):
    code, out, said = both("tiny", "the cat", *GREEDY, "--verbose")
    assert (code, out.endswith("\n")) == (0, True)
    assert "eval count:           12 token(s): 12 sampled, 0 forced\n" in said
    assert said.endswith("done reason:          length\n")


def test_a_seed_gives_the_same_answer(both):
    assert both("tiny", "the cat", "--seed", "4", "--max-tokens", "12")[0] == 0


@pytest.mark.parametrize("as_file", [False, True])
def test_documents(both, tmp_path, as_file):
    assert isinstance(json.loads(both("tiny", "the cat", "--format", "json", *GREEDY)[1]), dict)
    source = json.dumps(TITLE)
    if as_file:
        source = tmp_path / "schema.json"
        source.write_text(f"\ufeff{json.dumps(TITLE)}", encoding="utf-8")
    code, out, said = both("tiny", "the cat", "--format", source, *GREEDY, "--verbose")
    assert (code, list(json.loads(out))) == (0, ["title"])
    assert re.search(r"sampled, [1-9]\d* forced", said)


def test_a_document_that_does_not_fit_is_an_error_after_it_was_shown(both):
    tags = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"tags": tags}, "required": ["tags"]}
    code, out, said = both("twice", "what?", "--format", json.dumps(schema))
    assert (code, json.loads(out)) == (1, {"tags": ["a", "a"]})
    assert said.startswith("error: the answer does not fit the schema at `$.tags`")


@pytest.mark.examples(3)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.heic", "photo.webp", "photo.tiff", "photo.ppm"])
def test_photos_of_several_formats(both, name):
    if name.endswith(".heic"):
        pillow_heif.from_pillow(Image.fromarray(smooth_photo(120, 80, seed=3))).save(name)
    else:
        Image.fromarray(smooth_photo(120, 80, seed=3)).save(name)
    code, out, said = both("seer", f"What is in {name}?", *GREEDY, "--verbose")
    assert (code, bool(out)) == (0, True)
    assert said.startswith(f"Added image '{name}'\n")
    assert re.search(r"image count: +1 image\(s\), \d+ token\(s\), seen as \d+x\d+\n", said)
    assert "encode duration:" in said


def test_the_bytes_of_a_photo_are_sent_as_they_are(ask, echo_server, tmp_path):
    data = photo(60, 40, orientation=6)
    (tmp_path / "work/turned.jpg").write_bytes(data)
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "see", "images": [base64.b64encode(data).decode()]}],
        "stream": False,
    }
    asked = echo_server.post("/api/chat", body)[1]["message"]["content"]
    assert ask("there", "echo", "see", "--image", "turned.jpg")[1] == f"{asked}\n"


def test_boxes_are_pixels_of_the_photo(both, tmp_path):
    (tmp_path / "work/corner.jpg").write_bytes(photo(1200, 800, orientation=6))
    code, out, _ = both("boxer", "Where? corner.jpg", "--format", json.dumps(BOX))
    assert (code, json.loads(out)) == (0, {"x": 600, "y": 0, "w": 600, "h": 400})


def test_what_a_model_cannot_say_is_left_out_of_the_schema_and_told(ask, tmp_path):
    (tmp_path / "work/a.jpg").write_bytes(photo())
    schema = {"type": "object", "properties": {"n": {"const": 7}, "box": BOX}, "required": ["n", "box"]}
    for way in ("here", "there"):
        code, out, said = ask(way, "boxless", "Where? a.jpg", "--format", json.dumps(schema))
        assert (code, json.loads(out)) == (0, {"n": 7})
        assert "so this is left out: `$.properties.box`\n" in said
    code, out, said = ask("there", "boxless", "Where? a.jpg", "--format", json.dumps(BOX))
    assert (code, out) == (2, "")
    assert "error: the schema asks for boxes only, and `boxless` was not trained to say where things are" in said


def test_thoughts_are_shown_or_hidden(both):
    assert both("thinker", "hello you") == (0, "hello you\n", "Thinking...\nHm.\n...done thinking.\n\n")
    assert both("thinker", "hello you", "--hidethinking") == (0, "hello you\n", "")
    assert both("thinker", "hello you", "--think=false") == (0, "hello you\n", "")


def test_a_model_brings_its_system_message_its_turns_and_its_parameters(both):
    code, out, said = both("full", "one two ### three", "--verbose")
    assert (code, out) == (0, "one two \n")
    assert "prompt eval count:    11 token(s)" in said


def test_perceivers_tell_a_model_about_a_photo(both, tmp_path):
    (tmp_path / "work/cat.jpg").write_bytes(photo())
    with_evidence = both("tiny", "what is in cat.jpg?", "--perceivers", "photo-mini", *GREEDY)
    assert (with_evidence[0], with_evidence[2]) == (0, "Added image 'cat.jpg'\n")


def test_image_tokens_are_honoured(both):
    Image.fromarray(smooth_photo(448, 448)).save("large.png")
    few, usual = (
        int(re.search(r"(\d+) token\(s\), seen", both("seer", "large.png", *GREEDY, *more, "--verbose")[2])[1])
        for more in (["--image-tokens", "8"], [])
    )
    assert few <= 8 < usual


@pytest.mark.parametrize("dimensions", [None, 4])
def test_vectors(both, dimensions):
    more = [] if dimensions is None else ["--dimensions", dimensions]
    code, out, said = both("vectors", "the dog", "--verbose", *more)
    assert code == 0
    assert np.linalg.norm(json.loads(out)) == pytest.approx(1, abs=1e-5)
    assert dimensions in (None, len(json.loads(out)))
    assert said == "prompt eval count:    4 token(s)\nprompt eval duration:TIME\n".replace(":TIME", ": TIME")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["nowhere", "hi"], 1, "error: model `nowhere` is not on this machine\nhint: "),
        (["ehco", "hi"], 1, "error: model `ehco` is not on this machine\nhint: did you mean `echo:latest`?\n"),
        (["a/b/c/d", "hi"], 2, "error: `a/b/c/d` is not a model name\nhint: "),
        (["blind", "what is in cat.jpg?"], 2, "error: model `blind:latest` cannot see images\nhint: "),
        (["echo", "broken.jpg", "cat.jpg"], 1, "error: `broken.jpg`: the file does not hold an image\n"),
        (["echo", "empty.png"], 1, "error: `empty.png`: the file is empty\n"),
        (["echo", "hi", "--perceivers", "photo-mimi"], 2, "error: no perceiver is called `photo-mimi`\nhint: "),
        (["echo", "hi", "--think"], 2, "error: `echo` does not think before it answers\nhint: leave out `--think`\n"),
        (["blind", "hi", "--image-tokens", "9"], 2, "error: model `blind:latest` does not see images, so no image"),
        (["echo", "hi", "--dimensions", "9"], 2, "error: `echo` makes no embeddings, so there are no dimensions\n"),
        (["vectors", "hi", "--format", "json"], 2, "error: `vectors` makes embeddings, so there is no answer to shape"),
        (["vectors", "cat.jpg"], 2, "error: `vectors` makes embeddings of texts, and not of images\n"),
        (["vectors", "hi", "--dimensions", "999"], 2, "error: `vectors` has "),
        (["echo", "crash now"], 4, "error: the process that runs `echo:latest` ended with exit code 70\nhint: "),
        (["tiny", "the cat " * 2000], 1, "error: the prompt has "),
    ],
)
def test_errors_are_the_same(both, tmp_path, arguments, code, error):
    (tmp_path / "work/cat.jpg").write_bytes(photo())
    (tmp_path / "work/broken.jpg").write_bytes(b"Dear diary")
    (tmp_path / "work/empty.png").write_bytes(b"")
    found, out, said = both(*arguments)
    assert (found, out.strip() in ("", "crash")) == (code, True)
    assert said.startswith(error)


HUB = """
from dataclasses import replace
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Progress
from olpipe.model import ModelConfig, ModelName

class Hub(ModelSource):
    scheme, hosts = "hub", ("hub.example",)

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        progress(Progress("fetching the echo", 1, 2))
        layer = replace(store.add_bytes(b"{}"), name="echo.json")
        store.commit(name, ModelConfig(model_format="echo"), [layer])

@hookimpl
def register_model_sources():
    return [Hub()]
"""


def test_a_model_that_is_missing_is_pulled_by_the_server(ask, start_server, echo_site, tmp_path):
    (tmp_path / "hub_source.py").write_text(HUB)
    install_plugin(tmp_path, "hub", "hub_source")
    server = start_server(home=tmp_path / "home", PYTHONPATH=f"{tmp_path}{os.pathsep}{echo_site}")
    code, out, said = ask("there", "hub.example/a/b", "hello you", server=server)
    assert (code, out, said) == (0, "hello you\n", "`hub.example/a/b` is not built yet: this happens once\n")
    assert [model["name"] for model in server.get("/api/tags")[1]["models"]] == ["hub.example/a/b:latest"]


def test_a_backend_or_a_device_is_chosen_by_the_engine_of_the_command(ask, loaded):
    before = loaded()
    assert ask("there", "blind", "hello you", "--backend", "echo") == (0, "hello you\n", "")
    assert ask("there", "blind", "hello you", "--device", "cpu") == (0, "hello you\n", "")
    assert loaded().keys() == before.keys()
    assert ask("there", "blind", "hello you", "--backend", "nobody")[0] == 2


def test_a_model_stays_as_long_as_was_asked_for(ask, loaded):
    ask("there", "blind", "hello you", "--keepalive", "-1")
    assert loaded()["blind:latest"]["expires_at"] > "2100"
    ask("there", "blind", "hello you", "--keepalive", "0")
    while "blind:latest" in loaded():
        pass


def test_a_server_that_was_chosen_and_does_not_run_is_an_error(ask, monkeypatch, capsys):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("OLPIPE_SERVER", "on")
    with pytest.raises(SystemExit) as ended:
        main(["run", "echo", "hello you"])
    assert ended.value.code == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: no server answers at http://127.0.0.1:9"
    assert second.startswith("hint: ")
    monkeypatch.setenv("OLPIPE_SERVER", "off")
    with pytest.raises(SystemExit) as ended:
        main(["run", "echo", "hello you"])
    assert (ended.value.code, capsys.readouterr().out) == (0, "hello you\n")


@pytest.mark.usefixtures("unmeasured")
def test_a_question_that_a_server_answers_loads_neither_the_engine_nor_its_libraries(ask, echo_server):
    source = "import sys\nfrom olpipe.cli.main import main\ntry:\n    main(['run', 'echo', 'hello you'])\nfinally:\n"
    given = {**os.environ, "OLPIPE_SERVER": "on", "OLLAMA_HOST": echo_server.url}
    command = [sys.executable, "-c", f"{source}    print(*sys.modules, file=sys.stderr)"]
    ended = subprocess.run(command, capture_output=True, text=True, env=given, stdin=subprocess.DEVNULL)
    assert ended.stdout == "hello you\n"
    heavy = {"PIL", "jsonschema", "llguidance", "numpy", "olpipe.cli.hosts.here", "olpipe.engine", "onnxruntime"}
    assert heavy & set(ended.stderr.split()) == set()


def test_a_pipe_gets_no_codes_and_the_server_is_left_alone_where_that_is_said(random_home, echo_site, echo_server):
    variables = {**os.environ, "OLPIPE_HOME": str(random_home), "PYTHONPATH": str(echo_site)}
    for switch in ("on", "off"):
        given = {**variables, "OLPIPE_SERVER": switch, "OLLAMA_HOST": echo_server.url, "TERM": "xterm-256color"}
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "olpipe", "run", "thinker"],
            input="hello you\n", capture_output=True, text=True, env=given,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (0, "hello you\n")
        assert ended.stderr == "Thinking...\nHm.\n...done thinking.\n\n"
