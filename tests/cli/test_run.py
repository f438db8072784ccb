"""`olpipe run`, with a real model of random weights in a real process."""

import json
import subprocess
import sys

import jsonschema
import pytest

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 30}},
    "required": ["title"],
    "additionalProperties": False,
}


def olpipe(*arguments, stdin=""):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olpipe", *map(str, arguments)], input=stdin, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def tiny(tmp_path, isolated_home):
    gguf = write_tiny_gguf(tmp_path / "weights.gguf")
    code, _, said = olpipe("pull", f"file:{gguf}", "--name", "tiny")
    assert code == 0, said
    return "tiny"


def test_an_answer_goes_to_stdout_and_statistics_to_stderr(tiny):
    code, out, said = olpipe("run", tiny, "hello", "--max-tokens", 8, "--temperature", 0, "--verbose")
    assert code == 0
    assert out.endswith("\n")
    assert len(out) > 1
    rows = {line.split(":")[0]: line.split(":", 1)[1].strip() for line in said.splitlines()}
    assert rows["eval count"] == "8 token(s): 8 sampled, 0 forced"
    assert rows["done reason"] == "length"
    assert rows["eval rate"].endswith("tokens/s")


def test_a_seed_repeats_an_answer(tiny):
    first = olpipe("run", tiny, "hello", "--max-tokens", 20, "--seed", 4)[1]
    assert olpipe("run", tiny, "hello", "--max-tokens", 20, "--seed", 4)[1] == first
    assert olpipe("run", tiny, "hello", "--max-tokens", 20, "--seed", 5)[1] != first


def test_json_is_json(tiny):
    code, out, _ = olpipe("run", tiny, "hello", "--format", "json", "--max-tokens", 40)
    assert code == 0
    assert isinstance(json.loads(out), dict)


@pytest.mark.parametrize("as_file", [False, True])
def test_a_schema_is_taken_as_text_or_from_a_file(tiny, tmp_path, as_file):
    source = json.dumps(SCHEMA)
    if as_file:
        path = tmp_path / "schema.json"
        path.write_text(source)
        source = path
    code, out, _ = olpipe("run", tiny, "hello", "--format", source, "--max-tokens", 60)
    assert code == 0
    jsonschema.validate(json.loads(out), SCHEMA)


def test_what_is_piped_in_stands_where_the_arguments_say_so(tiny):
    alone = olpipe("run", tiny, "one two", "--temperature", 0, "--max-tokens", 9)[1]
    assert olpipe("run", tiny, "-", "two", "--temperature", 0, "--max-tokens", 9, stdin="one\n")[1] == alone


def test_a_photo_is_refused_by_a_model_that_cannot_see(tiny, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(photo())
    code, out, said = olpipe("run", tiny, f"what is in {path}?")
    assert (code, out) == (2, "")
    assert said.splitlines() == [
        "error: model `tiny:latest` cannot see images",
        "hint: give it what a detector sees: `--perceivers photo-mini`; "
        "or pull it with its vision encoder: `--projector`",
    ]


def test_any_model_can_be_given_evidence(tiny, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(photo())
    code, out, said = olpipe(
        "run", tiny, f"what is in {path}?", "--evidence", "photo-mini", "--max-tokens", 5, "--verbose"
    )
    assert code == 0
    assert out
    assert f"Added image '{path}'" in said


def test_a_model_that_sees_is_shown_the_photo(batch):
    batch.put("a.jpg")
    path = batch.photos / "a.jpg"
    code, out, said = olpipe("run", "echo", f"what is in {path} ?")
    assert (code, out) == (0, "[image 48x32] what is in ?\n")
    assert said == f"Added image '{path}'\n"


HUB = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import ModelConfig, ModelName
from dataclasses import replace

class Hub(ModelSource):
    scheme, hosts = "hub", ("hf.example",)

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        layer = replace(store.add_bytes(b"{}"), name="echo.json")
        store.commit(name, ModelConfig(model_format="echo", model_family=reference), [layer])

@hookimpl
def register_model_sources():
    return [Hub()]
"""


def test_a_model_on_a_host_that_a_source_claims_is_pulled_and_run_by_its_whole_name(plugin_folder, echo_plugin):
    (plugin_folder / "hub_source.py").write_text(HUB)
    install_plugin(plugin_folder, "hub", "hub_source")
    assert olpipe("run", "hf.example/a/b:c", "hello", "you")[:2] == (0, "hello you\n")
    assert olpipe("pull", "hf.example/other/model")[0] == 0
    models = json.loads(olpipe("list", "--json")[1])
    assert {model["name"]: model["details"]["family"] for model in models} == {
        "hf.example/a/b:c": "hf.example/a/b:c",
        "hf.example/other/model:latest": "hf.example/other/model",
    }
    code, _, said = olpipe("run", "hf.other/a/b:c", "hello")
    assert (code, said.splitlines()[0]) == (1, "error: model `hf.other/a/b:c` is not on this machine")


@pytest.mark.examples(3)
@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (["tiny"], 2, ["error: there is no prompt", 'hint: run `olpipe run MODEL "your question"`, or pipe it in']),
        (["tinny", "hi"], 1, ["error: model `tinny` is not on this machine", "hint: did you mean `tiny:latest`?"]),
        (
            ["tiny", "hi", "--format", "nowhere.json"],
            2,
            [
                "error: schema `nowhere.json` cannot be read: No such file or directory",
                "hint: give `json`, the path of a file, or JSON in quotes",
            ],
        ),
        (
            ["tiny", "hi", "--format", ""],
            2,
            ["error: `--format` is empty", "hint: give `json`, the path of a file, or JSON in quotes"],
        ),
        (
            ["tiny", "hi", "--format", '["a"]'],
            2,
            ["error: the schema is not a JSON object", "hint: for any JSON object use `--format json`"],
        ),
        (
            ["tiny", "hi", "--format", "type: object"],
            2,
            ["error: the schema is not JSON: it looks like YAML", "hint: write it as JSON"],
        ),
        (
            ["tiny", "hi", "--format", '{"type":"strin"}'],
            2,
            ["error: the schema is not valid at `$.type`: 'strin' is not valid under any of the given schemas"],
        ),
        (
            ["tiny", "hi", "--format", '{"type":"integer","minimum":3,"maximum":2}'],
            2,
            ["error: no document satisfies the schema: no value satisfies `$`"],
        ),
        (["tiny", "hi", "--temperature", "-1"], 2, None),
    ],
)
def test_bad_requests_are_one_clear_line(tiny, arguments, code, lines):
    found, out, said = olpipe("run", *arguments)
    assert (found, out) == (code, "")
    if lines is not None:
        assert said.splitlines() == lines
