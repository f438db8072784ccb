"""`olpipe create`, with a server and without one. Both ways say the same, and make the same model."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from olpipe.cli.main import main
from olpipe.convert.adapter import write_adapter
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.store.modelfile import modelfile
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf

__all__ = ["plugin_folder"]


class Way:
    """One of the two ways: a command line, and the store in which it makes models."""

    def __init__(self, home, capfd):
        self.library = Library(home / "models", cache=home / "cache")
        self._capfd = capfd

    def run(self, *arguments):
        """Run a command line and return exit code, data and talk."""
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = self._capfd.readouterr()
        return ended.value.code, captured.out, captured.err

    def layers(self, name):
        """Return the kinds and the digests of the layers of a model."""
        found = self.library.describe(ModelName.parse(name)).manifest.layers
        return [(layer.media_type.rpartition(".")[2], layer.digest) for layer in found]

    def text(self, name, kind):
        return self.library.texts(self.library.describe(ModelName.parse(name)), kind)


@pytest.fixture(scope="module")
def home(workshop, tmp_path_factory):
    """Return a copy of the home of the server."""
    return shutil.copytree(workshop.home, tmp_path_factory.mktemp("here") / "home", symlinks=True)


@pytest.fixture
def here(home, monkeypatch, capfd):
    """Make models in this process. There is `tiny`."""
    monkeypatch.setenv("OLPIPE_HOME", str(home))
    return Way(home, capfd)


@pytest.fixture
def there(workshop, monkeypatch, capfd):
    """Make models on a server, from which they are deleted after the test. There is `tiny`."""
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", workshop.url)
    before = names(workshop)
    yield Way(workshop.home, capfd)
    for name in names(workshop) - before:
        workshop.call("DELETE", "/api/delete", {"model": name})


def names(server):
    return {model["name"] for model in server.get("/api/tags")[1]["models"]}


@pytest.fixture(params=["here", "there"])
def way(request):
    """Make models in this process, then on a server."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder in which commands run."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


WHOLE = '''# all commands
from tiny
System """Be brief.
Be kind."""
PARAMETER temperature 0.25
PARAMETER num_predict 8
PARAMETER stop "###"
PARAMETER stop User:
PARAMETER use_mmap false
TEMPLATE "{% for message in messages %}[{{ message.content }}]{% endfor %}"
MESSAGE user Hello
MESSAGE assistant Good day
LICENSE MIT
LICENSE """BSD
"""
REQUIRES 0.14.0
'''


def test_a_model_is_made_as_the_modelfile_says(way, folder):
    write(folder / "Modelfile", WHOLE)
    code, out, err = way.run("create", "whole")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[0] == "gathering model components"
    assert lines[1].startswith("using existing layer sha256:")
    assert lines[-2:] == ["writing manifest", "success"]
    assert way.text("whole", "system") == ["Be brief.\nBe kind."]
    assert [json.loads(text) for text in way.text("whole", "params")] == [
        {"temperature": 0.25, "num_predict": 8, "stop": ["###", "User:"], "use_mmap": False}
    ]
    assert way.text("whole", "license") == ["MIT", "BSD\n"]
    assert [json.loads(text) for text in way.text("whole", "messages")] == [
        [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
    ]
    assert way.text("whole", "template") == ["{% for message in messages %}[{{ message.content }}]{% endfor %}"]


def test_both_ways_say_the_same_and_make_the_same(request, monkeypatch, tmp_path, capfd, folder):
    write_tiny_gguf(folder / "weights.gguf", seed=101)
    write(folder / "Modelfile", "FROM ./weights.gguf\nSYSTEM Be equal.\nLICENSE Be equal, too.\n")
    here = Way(tmp_path / "home", capfd)
    said = here.run("create", "equal")
    assert said[0] == 0
    as_json = here.run("create", "equal", "--json")
    there = request.getfixturevalue("there")
    assert there.run("create", "equal") == said
    assert there.layers("equal") == here.layers("equal")
    # Lines about bytes are not the same: here a file is stored at once, and a build tells oftener how far it is
    code, out, err = there.run("create", "equal", "--json")
    assert (code, err) == (0, "")
    theirs, ours = (
        [line for line in text.splitlines() if "total" not in json.loads(line)] for text in (out, as_json[1])
    )
    assert theirs == ours
    assert json.loads(theirs[0]) == {"status": "gathering model components"}
    assert {json.loads(line)["status"].split()[0] for line in out.splitlines()} >= {"copying", "using", "writing"}
    assert json.loads(theirs[-1]) == {"status": "success"}


def test_what_show_prints_makes_the_same_layers(way, folder):
    write(folder / "Modelfile", WHOLE)
    assert way.run("create", "original")[0] == 0
    bundle = way.library.get(ModelName.parse("original"))
    write(folder / "copy" / "Modelfile", modelfile(bundle, template=way.text("original", "template")[0]))
    code, _, err = way.run("create", "copied", "-f", "copy/Modelfile")
    assert code == 0
    assert "creating new layer" not in err
    assert way.layers("copied") == way.layers("original")


def test_paths_begin_at_the_folder_of_the_modelfile(way, folder):
    (folder / "there").mkdir()
    write_tiny_gguf(folder / "there" / "weights.gguf", seed=102)
    write(folder / "there" / "recipe", "FROM weights.gguf\nSYSTEM x\n")
    assert way.run("create", "pathed", "--file", "there/recipe")[0] == 0
    assert [kind for kind, _ in way.layers("pathed")] == ["model", "system"]


def test_a_path_may_begin_at_the_home_of_who_runs_it(here, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    write_tiny_gguf(folder / "weights.gguf", seed=102)
    write(folder / "there" / "Modelfile", "FROM ~/weights.gguf\n")
    assert here.run("create", "homely", "-f", "there/Modelfile")[0] == 0


def test_a_model_that_sees_is_made_of_two_files_in_any_order(way, folder):
    model, projector = write_vision_gguf("qwen2_5_vl", folder)
    write(folder / "Modelfile", f"FROM ./{projector.name}\nFROM ./{model.name}\n")
    assert way.run("create", "two-files")[0] == 0
    write(folder / "Modelfile", "FROM .\n")
    assert way.run("create", "a-folder")[0] == 0
    assert [kind for kind, _ in way.layers("two-files")] == ["model", "projector"]
    assert way.layers("two-files") == way.layers("a-folder")


def test_a_model_is_made_of_a_package(way, folder):
    view = way.library.get(ModelName.parse("tiny")).cache
    package = next(path.parent for path in sorted(view.rglob("genai_config.json")))
    shutil.copytree(package, folder / "package")
    write(folder / "Modelfile", "FROM ./package\nSYSTEM Be packed.\n")
    code, _, err = way.run("create", "packed")
    assert code == 0, err
    assert {kind for kind, _ in way.layers("packed")} == {"model", "system"}


def test_an_adapter_is_added_from_its_file_or_its_folder(way, folder):
    (folder / "mine").mkdir()
    factors = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
    write_adapter(folder / "mine" / "adapter_model.safetensors", {"blk.0.attn_q.weight": factors}, scale=0.5)
    write(folder / "Modelfile", "FROM tiny\nADAPTER ./mine\n")
    assert way.run("create", "adapted")[0] == 0
    assert [kind for kind, _ in way.layers("adapted")] == ["model", "adapter"]
    write(folder / "Modelfile", "FROM tiny\nADAPTER mine/adapter_model.safetensors\nADAPTER ./mine\n")
    code, _, err = way.run("create", "never")
    assert (code, err.splitlines()[0]) == (2, "error: (line 3): a model takes one adapter at most")


def test_the_modelfile_may_come_from_stdin(way, folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"FROM tiny\r\nSYSTEM Be piped.\r\n")))
    assert way.run("create", "piped", "-f", "-")[0] == 0
    assert way.text("piped", "system") == ["Be piped."]


def test_the_weights_are_stored_as_finely_as_asked(way, folder):
    write(folder / "Modelfile", "FROM tiny\n")
    assert way.run("create", "finer", "-q", "q8_0")[0] == 0
    config = way.library.describe(ModelName.parse("finer")).config
    assert config.conversion["precision"] == "int8"


def test_a_base_that_is_not_here_is_pulled_by_the_server(there, folder, shelf):
    write_tiny_gguf(shelf / "base-for-create.gguf", seed=103)
    write(folder / "Modelfile", "FROM base-for-create\nSYSTEM Be pulled.\n")
    code, _, err = there.run("create", "from-a-source")
    assert code == 0
    assert err.splitlines()[:2] == ["gathering model components", "pulling manifest"]


def test_a_base_on_this_machine_is_a_path_of_file_too(here, folder):
    write_tiny_gguf(folder / "weights.gguf", seed=104)
    write(folder / "Modelfile", f"FROM file:{folder / 'weights.gguf'}\n")
    assert here.run("create", "by-scheme")[0] == 0


def test_a_folder_that_only_has_the_name_of_a_model_is_no_model(way, folder):
    write(folder / "tiny" / "notes.txt", "nothing")
    write(folder / "Modelfile", "FROM tiny\nSYSTEM x\n")
    assert way.run("create", "not-a-folder")[0] == 0


def test_removed_parameters_are_left_out_with_a_warning(way, folder):
    write(folder / "Modelfile", "FROM tiny\nPARAMETER mirostat 1\nPARAMETER seed 3\n")
    code, _, err = way.run("create", "warned")
    assert code == 0
    assert "the parameter `mirostat` in line 2 has no effect any more, and is left out" in err
    assert [json.loads(text) for text in way.text("warned", "params")] == [{"seed": 3}]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SYSTEM x", "error: `Modelfile`: no FROM line\nhint: begin with `FROM MODEL`"),
        ("FROM tiny\nSISTEM x", "error: `Modelfile`: (line 2): command must be one of"),
        (
            "FROM tiny\nRENDERER qwen3",
            "error: `Modelfile`: (line 2): `RENDERER` has no meaning here\nhint: leave it out",
        ),
        ("FROM tiny\nPARSER qwen3", "error: `Modelfile`: (line 2): `PARSER` has no meaning here\nhint: leave it out"),
        ("FROM tiny\nDRAFT ./x", "error: `Modelfile`: (line 2): `DRAFT` has no meaning here\nhint: leave it out"),
        ("FROM tiny\nREQUIRES soon", "error: `Modelfile`: (line 2): requires must be a valid semver (e.g. 0.14.0)"),
        ('FROM ""', "error: `Modelfile`: (line 1): `FROM` names nothing"),
        ("FROM ./nothing.gguf", "error: (line 1): `"),
        ("FROM nothing.gguf", "error: (line 1): `"),
        ("FROM ./pipe", "error: (line 1): `"),
        ("FROM tiny\nFROM other", "error: a model is made from one other model, and not from `tiny`, `other`"),
        ("FROM tiny\nPARAMETER temperature hot", "error: (line 2): invalid float value [hot]"),
        ("FROM tiny\nPARAMETER temperatur 1", "error: (line 2): unknown parameter 'temperatur'"),
        ("FROM tiny\nPARAMETER num_gpu all", "error: (line 2): invalid int value [all]"),
        ("FROM tiny\nADAPTER ./a", "error: (line 2): `"),
        ("FROM tiny\nTEMPLATE {% for %}", "error: the template cannot be used: "),
        ("FROM nobody-has-this", "error: "),
    ],
)
def test_what_cannot_be_made_is_an_error_with_its_line(way, folder, text, error):
    write(folder / "Modelfile", text)
    code, out, err = way.run("create", "never")
    assert code in (1, 2)
    assert out == ""
    assert err.removeprefix("gathering model components\n").removeprefix("pulling manifest\n").startswith(error)
    assert "never" not in [name.model for name in way.library.names()]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["x"], "error: there is no `Modelfile`\nhint: name it with `--file`, or read it from stdin with `--file -`\n"),
        (["x", "-f", "no/file"], "error: there is no `no/file`\n"),
        (["x", "-f", "."], "error: `.` cannot be read: Is a directory\n"),
        (["a b"], "error: `a b` is not a model name\n"),
        (["x", "-q", "q2_K"], "error: unsupported quantization type q2_K\n"),
    ],
)
def test_a_command_line_that_is_wrong_makes_nothing(way, folder, arguments, error):
    code, out, err = way.run("create", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(error)


def test_a_base_that_is_not_here_is_pulled_by_this_process(here, folder, shelf, monkeypatch, plugin_folder):
    monkeypatch.setenv("SHELF", str(shelf))
    install_plugin(plugin_folder, "shelf", "tests.server.shelf_source")
    write_tiny_gguf(shelf / "base-for-here.gguf", seed=106)
    write(folder / "Modelfile", "FROM base-for-here\nSYSTEM Be pulled.\n")
    code, _, err = here.run("create", "from-a-source")
    assert code == 0, err
    assert err.splitlines()[:2] == ["gathering model components", "pulling manifest"]
    assert "base-for-here" in [name.model for name in here.library.names()]


def test_weights_that_nothing_runs_are_refused_with_what_to_do(way, folder):
    write_tiny_bert(folder / "weights")
    (folder / "weights" / "modules.json").unlink()
    write(folder / "Modelfile", "FROM ./weights\n")
    code, _, err = way.run("create", "never")
    assert code == 2
    assert "\nerror: no backend can run `never:latest`" in err
    assert err.endswith("\nhint: convert it to GGUF, for example with llama.cpp, and write `FROM` that file\n")


def test_damaged_weights_are_an_error_of_one_line(way, folder):
    (folder / "bad.gguf").write_bytes(b"GGUF and nothing else")
    write(folder / "Modelfile", "FROM ./bad.gguf\n")
    code, _, err = way.run("create", "never")
    assert code == 1
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [
        line for line in err.splitlines() if "bad.gguf" in line
    ]


def test_files_that_are_on_the_server_are_not_sent_again(there, folder):
    write_tiny_gguf(folder / "weights.gguf", seed=105)
    write(folder / "Modelfile", "FROM ./weights.gguf\n")
    assert there.run("create", "sent-once")[0] == 0
    ((_, digest),) = there.layers("sent-once")
    inode = there.library.blob_path(digest).stat().st_ino
    assert there.run("create", "sent-twice")[0] == 0
    assert there.library.blob_path(digest).stat().st_ino == inode
