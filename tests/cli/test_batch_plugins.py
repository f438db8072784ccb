"""A stranger's tasks, perceivers and backends in `olpipe batch`, with a real decoder where one is needed."""

import ast
import json
import re
import sys

import pytest

from olpipe.cli.main import main
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf

# Tasks by the kind of their guidance, a perceiver and a backend; what they are asked is written down.
PLUGIN = r"""
import os
from dataclasses import replace
from pathlib import Path

from olpipe.default_plugins.executors.local import LocalExecutor
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Perceiver, Task
from olpipe.messages import Message
from olpipe.record import Evidence, Label
from olpipe.testing.echo import EchoBackend


def note(*words):
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(repr(words) + "\n")


def fail(place):
    if os.environ.get("FAIL_AT") == place:
        raise ValueError("no luck\nat all")


class Asked(Task):
    version = "1"

    def __init__(self, name, guidance):
        self.name, self.guidance = name, guidance

    def build(self, image, context):
        fail("build")
        messages = (Message.of("user", context.prompt, image),)
        request = GenerateRequest(context.model, messages, SamplingParams(max_tokens=24), self.guidance)
        return None if os.environ.get("FAIL_AT") == "request" else request

    def parse(self, value, image):
        note("parse", value)
        fail("parse")
        found = {"values": 5, "numbers": {"n": {1, 2}}, "taken": {"file": "x", "sha256": "y"}}
        return found.get(os.environ.get("FAIL_AT"), {"answer": value, "width": image.width})


class Eye(Perceiver):
    name = "eye"
    version = os.environ.get("EYE_VERSION", "1")
    fit_pixels = int(os.environ.get("EYE_PIXELS", 1024 * 1024))

    def perceive(self, image):
        note("perceive", self.version, image.pixels.shape[0] * image.pixels.shape[1], image.width, image.height)
        fail("perceive")
        return Evidence(tags=(Label("cat", 0.9),))


class Mirror(EchoBackend):
    name = "mirror"

    def refuses(self, bundle):
        return os.environ.get("MIRROR_REFUSES") or super().refuses(bundle)

    def load(self, bundle, options):
        note("mirror loads")
        return super().load(bundle, options)


class Clumsy(LocalExecutor):
    name = "clumsy"

    def map(self, job, images):
        how = os.environ["CLUMSY"]
        for outcome in super().map(job, images):
            if how == "fails":
                raise KeyError("no worker")
            if how == "invents":
                outcome = replace(outcome, file="nowhere.jpg")
            if how != "loses":
                yield outcome


@hookimpl
def register_executors():
    return [Clumsy()]


@hookimpl
def register_tasks():
    return [
        Asked("a-regex", Guidance("regex", "[a-c]{3}")),
        Asked("a-grammar", Guidance("lark", 'start: "yes" | "no"')),
        Asked("anything", None),
        Asked("any-json", Guidance("json")),
        Asked("a-schema", Guidance("json_schema", '{"type": "object", "properties": {"n": {"const": 7}}}')),
    ]


@hookimpl
def register_perceivers():
    return [Eye()]


@hookimpl(trylast=True)
def register_backends():
    return [Mirror()]
"""


@pytest.fixture
def notes(batch, plugin_folder, tmp_path, monkeypatch):
    """Install the plugin, and return a function that reads what it wrote down, of one kind or all."""
    (plugin_folder / "strange.py").write_text(PLUGIN)
    install_plugin(plugin_folder, "strange", "strange")
    path = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(path))
    monkeypatch.delitem(sys.modules, "strange", raising=False)
    monkeypatch.setattr(sys, "stdin", None)  # nothing is piped in

    def read(kind=None):
        lines = [ast.literal_eval(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [words for words in lines if kind in (None, words[0])]

    return read


@pytest.fixture
def describe(batch, notes, tmp_path):
    """Return a function that describes a photo with one of the plugin's tasks."""
    batch.put("a.jpg")

    def describe(task, *options, **keys):
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"prompt": "p", **keys}.items()]
        path = tmp_path / "own.toml"
        path.write_text("\n".join(['name = "own"', f'task = "{task}"', 'model = "echo"', *lines, "[schema]", ""]))
        return batch.run("--recipe", path, *options)

    return describe


@pytest.fixture
def tiny(batch, tmp_path):
    """Bring a tiny real model that does not see, and return the options that use it."""
    with pytest.raises(SystemExit) as ended:
        main(["pull", f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}"])
    assert ended.value.code == 0
    batch.said()
    return ("--model", "tiny", "--perceivers", "eye")


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    ("task", "expected"),
    [("a-regex", "[a-c]{3}"), ("a-grammar", "yes|no"), ("anything", r"(?s).+"), ("any-json", None), ("a-schema", None)],
)
def test_a_task_gets_its_answer_parsed_once_as_its_guidance_says(batch, describe, notes, tiny, task, expected):
    code, said = describe(task, *tiny)
    assert code == 0, said
    (record,) = batch.records
    ((_, value),) = notes("parse")
    assert record["answer"] == value
    assert record["width"] == record["image"]["width"] == 48
    if expected is None:
        assert isinstance(value, dict)
        assert task == "any-json" or value == {"n": 7}
    else:
        assert re.fullmatch(expected, value)


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    ("place", "whose", "reason"),
    [
        ("perceive", "perceiver `eye`", "ValueError: no luck"),
        ("build", "task `a-schema`", "ValueError: no luck"),
        ("request", "task `a-schema`", "TypeError: it built a NoneType where a request is expected"),
        ("parse", "task `a-schema`", "ValueError: no luck"),
        ("values", "task `a-schema`", "TypeError: 'int' object is not iterable"),
        ("numbers", "task `a-schema`", "TypeError: Type is not JSON serializable: set"),
        ("taken", "task `a-schema`", "ValueError: it gave a value `file`, which every record has of its own"),
    ],
)
def test_what_fails_in_a_plugin_is_one_failure_row_that_names_it(batch, describe, monkeypatch, place, whose, reason):
    monkeypatch.setenv("FAIL_AT", place)
    batch.put("b.jpg")
    code, said = describe("a-schema", "--perceivers", "eye")
    assert (code, said.splitlines()[0]) == (3, "2 photos: 0 records, 2 failed")
    assert [(row["file"], row["kind"], row["message"]) for row in batch.failures] == [
        (name, "plugin", f"the {whose} of the plugin `strange` failed: {reason}") for name in ("a.jpg", "b.jpg")
    ]
    assert {row["hint"] for row in batch.failures} == {"run again with OLPIPE_DEBUG=1 to see where"}
    assert batch.report["failure_kinds"] == {"plugin": 2}
    monkeypatch.delenv("FAIL_AT")
    assert describe("a-schema", "--perceivers", "eye", "--retry-failed")[0] == 0
    assert (batch.files, batch.failures) == (["a.jpg", "b.jpg"], [])


def test_where_it_failed_is_shown_when_it_is_asked_for(batch, describe, monkeypatch):
    monkeypatch.setenv("FAIL_AT", "parse")
    monkeypatch.setenv("OLPIPE_DEBUG", "1")
    assert 'strange.py", line' in describe("a-schema")[1]


def test_a_perceiver_that_fails_is_one_line_in_run(batch, notes, monkeypatch, capsys):
    batch.put("a.jpg")
    monkeypatch.setenv("FAIL_AT", "perceive")
    with pytest.raises(SystemExit) as ended:
        main(["run", "echo", f"what is in {batch.photos / 'a.jpg'}?", "--perceivers", "eye"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (1, "")
    assert said.err.splitlines()[-2:] == [
        "error: the perceiver `eye` of the plugin `strange` failed: ValueError: no luck",
        "hint: run again with OLPIPE_DEBUG=1 to see where",
    ]


@pytest.mark.examples(1)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fails", "the executor `clumsy` of the plugin `strange` failed: KeyError: 'no worker'"),
        ("loses", "the executor `clumsy` lost 2 photos"),
        ("invents", "the executor `clumsy` gave an outcome for `nowhere.jpg` that nobody asked for"),
    ],
)
def test_an_executor_that_breaks_its_word_is_one_line_and_no_photo_is_marked(
    batch, describe, monkeypatch, how, message
):
    batch.put("b.jpg", data=photo(64, 48))
    monkeypatch.setenv("CLUMSY", how)
    code, said = describe("a-schema", "--executor", "clumsy")
    assert (code, said.splitlines()[0]) == (1, f"error: {message}")
    assert (batch.report["status"], batch.report["executor"]) == ("stopped", "clumsy")
    assert not (batch.output / "records.jsonl").exists()
    assert not (batch.output / "failures.jsonl").exists()
    monkeypatch.setenv("CLUMSY", "works")
    assert describe("a-schema", executor="clumsy")[0] == 0
    assert batch.files == ["a.jpg", "b.jpg"]


# --- evidence -------------------------------------------------------------------------------------


def test_a_photo_is_not_looked_at_again_for_another_question(batch, describe, notes):
    batch.put("b.jpg", data=photo(64, 48))
    assert describe("a-schema", "--perceivers", "eye")[0] == 0
    assert len(notes("perceive")) == 2
    assert describe("a-schema", "--perceivers", "eye", prompt="Another question.")[0] == 0
    assert batch.report["photos"]["records"] == 2
    assert len(notes("perceive")) == 2


def test_a_photo_is_looked_at_anew_when_the_perceiver_has_changed(batch, describe, notes, monkeypatch):
    describe("a-schema", "--perceivers", "eye")
    monkeypatch.setenv("EYE_VERSION", "2")
    monkeypatch.delitem(sys.modules, "strange")
    describe("a-schema", "--perceivers", "eye")
    assert [words[1] for words in notes("perceive")] == ["1", "2"]
    assert batch.report["photos"]["records"] == 1
    assert batch.report["perceivers"] == {"eye": "2"}


@pytest.mark.examples(1)
@pytest.mark.parametrize("damage", [b"not a database" * 500, b""])
def test_a_damaged_cache_of_evidence_only_costs_the_look(batch, describe, notes, isolated_home, damage):
    describe("a-schema", "--perceivers", "eye")
    (isolated_home / "cache" / "evidence.sqlite").write_bytes(damage)
    code, said = describe("a-schema", "--perceivers", "eye", prompt="Another question.")
    assert (code, len(said.splitlines())) == (0, 3)
    assert len(notes("perceive")) == 2


def test_a_perceiver_gets_the_pixels_that_it_asks_for(batch, describe, notes, monkeypatch):
    batch.put("a.jpg", data=photo(3000, 2000))
    monkeypatch.setenv("EYE_PIXELS", "4000000")
    describe("a-schema", "--perceivers", "eye")
    ((_, _, pixels, width, height),) = notes("perceive")
    assert 3_900_000 < pixels <= 4_010_000
    assert (width, height) == (3000, 2000)
    assert batch.records[0]["image"]["width"] == 3000


# --- the choice of a backend ----------------------------------------------------------------------


def test_the_backend_that_is_asked_for_runs_the_model(batch, describe, notes):
    assert describe("a-schema")[0] == 0
    assert (batch.report["backend"]["name"], notes("mirror loads")) == ("echo", [])
    key = batch.report["recipe"]["key"]
    assert describe("a-schema", "--backend", "mirror")[0] == 0
    assert (batch.report["backend"]["name"], notes("mirror loads")) == ("mirror", [("mirror loads",)])
    assert batch.report["recipe"]["key"] != key
    assert describe("a-schema", backend="mirror")[0] == 0
    assert batch.report["photos"]["records_before"] == 1


def test_a_recipe_may_name_the_backend_and_the_option_overrules_it(batch, describe):
    describe("a-schema", backend="mirror")
    assert batch.report["backend"] == {"name": "mirror", "version": "1"}
    describe("a-schema", "--backend", "echo", backend="mirror")
    assert batch.report["backend"]["name"] == "echo"


def test_a_backend_that_refuses_says_why(batch, describe, monkeypatch):
    monkeypatch.setenv("MIRROR_REFUSES", "it is foggy")
    assert describe("a-schema", "--backend", "mirror") == (
        1,
        "error: the backend `mirror` cannot run `echo:latest`: it is foggy\nhint: it runs on `echo`\n",
    )


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_run_takes_a_backend_too(batch, notes, capsys, monkeypatch):
    assert run(capsys, "run", "echo", "hello you", "--backend", "mirror")[:2] == (0, "hello you\n")
    assert notes("mirror loads") == [("mirror loads",)]
    monkeypatch.setenv("MIRROR_REFUSES", "it is foggy")
    code, out, said = run(capsys, "run", "echo", "hello you", "--backend", "mirror")
    assert (code, out) == (1, "")
    assert said.splitlines()[-2:] == [
        "error: the backend `mirror` cannot run `echo:latest`: it is foggy",
        "hint: it runs on `echo`",
    ]
    code, _, said = run(capsys, "run", "echo", "hello you", "--backend", "miror")
    assert code == 2
    assert said.splitlines()[-2:] == ["error: no backend is called `miror`", "hint: did you mean `mirror`?"]


def test_show_says_who_runs_a_model_and_why_not_the_others(batch, notes, capsys, monkeypatch):
    shown = run(capsys, "show", "echo")[1]
    reason = "it has no genai_config.json"
    lines = [line.split(maxsplit=1) for line in shown.partition("  Backends\n")[2].splitlines()]
    assert [line[0] for line in lines] == ["echo", "onnx", "ort-genai", "mirror"]
    assert dict(lines)["echo"] == "runs it: the first that can"
    assert dict(lines)["ort-genai"] == reason
    assert dict(lines)["mirror"] == "could run it, with `--backend`"
    monkeypatch.setenv("MIRROR_REFUSES", "it is foggy")
    backends = {
        backend.pop("name"): backend for backend in json.loads(run(capsys, "show", "echo", "--json")[1])["backends"]
    }
    assert list(backends) == ["echo", "onnx", "ort-genai", "mirror"]
    assert backends["echo"] == {"runs": True, "refuses": None}
    assert backends["mirror"] == {"runs": False, "refuses": "it is foggy"}
    assert backends["ort-genai"] == {"runs": False, "refuses": reason}
