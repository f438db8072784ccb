"""The commands about models say and do the same with a server and without."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from olpipe.cli.main import main
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf
from tests.cli.answering import put_echo
from tests.server.started import Started
from tests.store.registry_server import RegistryServer

TWO_DAYS_AGO = time.time() - 50 * 3600
SHELF_SOURCE = Path(__file__).parents[1] / "server" / "shelf_source.py"


@pytest.fixture(scope="module")
def registry():
    with RegistryServer() as registry:
        yield registry


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Return the folder from which the server, and it alone, pulls models."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def homes(echo_home, tmp_path_factory):
    """Return two equal homes with echo models: one for commands, one for a server."""
    folder = tmp_path_factory.mktemp("homes")
    for name in ("here", "there"):
        shutil.copytree(echo_home, folder / name)
        for path in (folder / name / "models/manifests").rglob("*"):
            os.utime(path, (TWO_DAYS_AGO, TWO_DAYS_AGO))
    return folder


@pytest.fixture(scope="module")
def server(homes, echo_site, shelf, registry, tmp_path_factory):
    site = tmp_path_factory.mktemp("shelf-site")
    shutil.copy(SHELF_SOURCE, site)
    install_plugin(site, "shelf", "shelf_source")
    path = os.pathsep.join([str(echo_site), str(site)])
    log = tmp_path_factory.mktemp("log") / "log"
    with Started(homes / "there", log, PYTHONPATH=path, SHELF=str(shelf), OLPIPE_REGISTRY=registry.url) as server:
        yield server


@pytest.fixture
def run(capfd):
    """Run a command line in this process; return its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capfd.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture
def there(run, server, monkeypatch):
    """Run a command that uses the server. It has a home of its own, without models."""

    def there(*arguments):
        monkeypatch.delenv("OLPIPE_SERVER", raising=False)
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        return run(*arguments)

    return there


@pytest.fixture
def here(run, homes, echo_site, registry, monkeypatch):
    """Run a command that does its work itself."""
    monkeypatch.syspath_prepend(echo_site)

    def here(*arguments):
        with monkeypatch.context() as changed:
            changed.setenv("OLPIPE_SERVER", "off")
            changed.setenv("OLPIPE_HOME", str(homes / "here"))
            changed.setenv("OLPIPE_REGISTRY", registry.url)
            return run(*arguments)

    return here


@pytest.fixture
def both(here, there):
    """Run a command in both ways, and return what both give."""

    def both(*arguments):
        first, second = here(*arguments), there(*arguments)
        assert first == second
        return first

    return both


# --- what there is ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("list",), ("ls", "TW"), ("list", "--json"), ("list", "x", "--json")])
def test_models_are_listed_in_both_ways(both, arguments):
    code, out, err = both(*arguments)
    assert (code, err) == (0, "")
    assert ("twice:latest" in out) is ("x" not in arguments)
    assert ("thinker:latest" in out) is ("x" not in arguments and "TW" not in arguments)


@pytest.mark.parametrize("option", [(), ("-v",), ("--json",), ("--json", "-v")])
def test_a_model_is_shown_in_both_ways(both, option):
    code, out, err = both("show", "full", *option)
    assert (code, err) == (0, "")
    assert "Be brief." in out
    assert "echo" in out


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--license", "Do as you like.\n"),
        ("--system", "Be brief."),
        ("--parameters", f'{"stop":<30} "###"\n{"temperature":<30} 0.5\n'),
        ("--template", ""),
    ],
)
def test_one_text_of_a_model_is_shown_in_both_ways(both, option, text):
    note = "" if text else "`full` has no text for `--template`\n"
    assert both("show", "full", option) == (0, text, note)


def test_the_modelfile_names_the_model_and_no_path(both):
    code, out, _ = both("show", "full", "--modelfile")
    assert code == 0
    assert out.splitlines()[1:4] == ["FROM full:latest", "SYSTEM Be brief.", "PARAMETER stop ###"]


def test_two_texts_at_once_are_refused_in_ollamas_words(both):
    said = (
        "error: only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified\n"
    )
    assert both("show", "full", "--license", "--system") == (2, "", said)


@pytest.mark.parametrize("arguments", [("show", "thinkr"), ("rm", "thinkr"), ("cp", "thinkr", "x"), ("push", "thinkr")])
def test_an_unknown_model_is_the_same_error_in_both_ways(both, arguments):
    said = "error: model `thinkr:latest` is not on this machine\nhint: did you mean `thinker:latest`?\n"
    assert both(*arguments) == (1, "", said)


def test_an_unknown_model_cannot_be_stopped_as_ollama_says_it(both):
    said = 'error: couldn\'t find model "thinkr" to stop\nhint: did you mean `thinker:latest`?\n'
    assert both("stop", "thinkr") == (1, "", said)


@pytest.mark.parametrize(
    "arguments",
    [("show", "../x"), ("rm", "full", "../x"), ("cp", "full", "../x"), ("cp", "../x", "full"), ("stop", "../x"),
     ("push", "../x"), ("pull", "file:x", "--name", "../x")],
)  # fmt: skip
def test_what_is_no_name_is_the_same_error_in_both_ways(both, arguments):
    code, out, err = both(*arguments)
    assert (code, out, err.splitlines()[0]) == (2, "", "error: `../x` is not a model name")
    assert "full:latest" in both("list")[1]


# --- what is in memory --------------------------------------------------------------------------


def test_what_a_server_has_in_memory_is_listed_as_ollama_does(here, there, server):
    assert there("ps", "thinker") == (0, "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL\n", "")
    server.post("/api/generate", {"model": "thinker", "keep_alive": 280})
    server.post("/api/generate", {"model": "twice", "keep_alive": -1})
    code, out, err = there("ps")
    assert (code, err) == (0, "")
    heads, *rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert heads == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
    assert [(row[0], row[3:]) for row in rows] == [
        ("twice:latest", ["100% CPU", "4096", "Forever"]),
        ("thinker:latest", ["100% CPU", "4096", "4 minutes from now"]),
    ]
    assert all(re.fullmatch(r"[0-9a-f]{12}", row[1]) and re.fullmatch(r"\d+ MB", row[2]) for row in rows)
    assert [row["name"] for row in json.loads(there("ps", "THINK", "--json")[1])] == ["thinker:latest"]
    assert there("stop", "twice") == there("stop", "thinker:latest") == (0, "", "")
    assert there("ps")[1] == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL\n"


def test_without_a_server_nothing_stays_in_memory_and_a_note_says_so(run, monkeypatch):
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0:9")  # this chooses no server, and nobody listens there
    note = "note: no server runs, so no model stays in memory; `olpipe serve` starts one\n"
    assert run("ps") == (0, "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL\n", note)
    assert run("ps", "--json") == (0, "[]\n", "")


def test_stopping_what_is_not_in_memory_is_no_error(here, there):
    assert there("stop", "full") == (0, "", "")
    assert here("stop", "full") == (0, "", "note: OLPIPE_SERVER is off, so no server was asked\n")


def test_a_model_in_memory_is_unloaded_before_it_is_removed(there, server, homes):
    put_echo(homes / "there", "loaded", ("completion",), {}, delay_s=0.001)
    server.post("/api/generate", {"model": "loaded"})
    assert "loaded:latest" in there("ps")[1]
    assert there("rm", "loaded") == (0, "", "deleted 'loaded'\n")
    assert "loaded:latest" not in there("ps")[1]


# --- changes ------------------------------------------------------------------------------------


def test_models_are_copied_and_removed_in_both_ways(both):
    assert both("cp", "full", "me/mine:v1") == (0, "", "copied 'full' to 'me/mine:v1'\n")
    assert both("cp", "full", "other")[0] == 0
    assert "me/mine:v1" in both("list", "me/")[1]
    assert both("show", "me/mine:v1", "--system")[1] == "Be brief."
    assert both("rm", "me/mine:v1", "other") == (0, "", "deleted 'me/mine:v1'\ndeleted 'other'\n")
    assert both("show", "other")[0] == 1


def test_a_file_is_pulled_in_both_ways(both, homes, tmp_path, monkeypatch):
    monkeypatch.setenv("OLPIPE_HOME", str(homes / "there"))  # the user of the server asks
    monkeypatch.chdir(tmp_path)
    write_tiny_gguf(tmp_path / "Weights.gguf", seed=7)  # a file that no other model is made of: it has to be built
    code, out, err = both("pull", "file:./Weights.gguf", "--name", "pulled")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "pulling `pulled:latest` from `file:./Weights.gguf`",
        "building `pulled:latest`: this may take some minutes, once",
        "success",
    ]
    assert "llama" in both("show", "pulled")[1]
    assert both("pull", "file:Weights.gguf")[2] == "pulling `weights:latest` from `file:Weights.gguf`\nsuccess\n"


def test_the_steps_of_a_pull_are_lines_of_json_in_both_ways(here, there, homes, tmp_path, monkeypatch):
    monkeypatch.setenv("OLPIPE_HOME", str(homes / "there"))
    path = write_tiny_gguf(tmp_path / "steps.gguf", seed=3)
    told = []
    for way in (here, there):
        code, out, err = way("pull", f"file:{path}", "--json")
        assert (code, err) == (0, "")
        statuses = dict.fromkeys(json.loads(line)["status"] for line in out.splitlines())
        told.append([status for status in statuses if status != "building"])  # a server builds in another process
    assert told[0] == told[1]
    assert (told[0][0], told[0][-2:]) == ("pulling manifest", ["writing manifest", "success"])
    assert "building model" in told[0]


def test_a_file_that_is_not_there_is_the_same_error_in_both_ways(both, homes, tmp_path, monkeypatch):
    monkeypatch.setenv("OLPIPE_HOME", str(homes / "there"))
    monkeypatch.chdir(tmp_path)
    code, out, err = both("pull", "file:no.gguf")
    assert (code, out) == (1, "")
    assert err == f"error: `{tmp_path}/no.gguf` does not exist\nhint: name a .gguf file or a package's folder\n"


def test_a_projector_is_pulled_with_its_model_in_both_ways(both, there, homes, tmp_path, monkeypatch):
    monkeypatch.setenv("OLPIPE_HOME", str(homes / "there"))
    monkeypatch.chdir(tmp_path)
    text, projector = write_vision_gguf("qwen2_5_vl", tmp_path)
    os.mkdir("elsewhere")
    shutil.move(projector, "elsewhere/eyes.gguf")
    code, _, err = both("pull", f"file:{text.name}", "--projector", "elsewhere/eyes.gguf", "--name", "seer")
    assert (code, err.splitlines()[0]) == (
        0,
        f"pulling `seer:latest` from `file:{text.name}#elsewhere/eyes.gguf`",
    )
    assert json.loads(there("show", "seer", "--json")[1])["projector"]["family"]
    assert "\n  Projector\n" in both("show", "seer")[1]
    both("rm", "seer")


def test_a_server_of_another_user_reads_no_file_and_the_error_says_what_to_do(there, tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    code, out, err = there("pull", f"file:{path}")
    assert (code, out) == (2, "")
    assert f"error: `file:{path}` is a path on this machine, and the server at http://127.0.0.1:" in err
    assert "has another user, or another OLPIPE_HOME" in err
    assert "hint: write `FROM PATH` into a Modelfile; `olpipe create MODEL -f Modelfile` sends the file" in err


def test_a_registry_without_the_model_is_the_same_error_in_both_ways(both, registry):
    code, out, err = both("pull", f"{registry.host}/me/nobody", "--insecure")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "nobody" in err.splitlines()[0]


@pytest.mark.parametrize("arguments", [("http://host.example/me/x",), ("full", "--projector", "p.gguf"), ("file:",)])
def test_what_cannot_be_meant_is_the_same_error_in_both_ways(both, arguments):
    code, out, err = both("pull", *arguments)
    assert code in (1, 2)
    assert (out, err.count("error: ")) == ("", 1)


def test_a_model_is_pushed_and_pulled_under_another_name_in_both_ways(both, registry):
    name = f"{registry.host}/me/full:v1"
    both("cp", "full", name)
    said = f"pushing `{name}`\nsuccess\nYou can find your model at:\n\n\t{name}\n"
    assert both("push", name, "--insecure") == (0, "", said)
    assert ("me/full", "v1") in registry.manifests
    both("rm", name)
    code, _, err = both("pull", name, "--insecure", "--name", "back")
    assert (code, err.splitlines()[0]) == (0, f"pulling `back:latest` from `{name}`")
    assert both("show", "back", "--system")[1] == "Be brief."
    assert both("show", name)[0] == 1


def test_a_name_that_only_the_server_knows_is_pulled_by_it(there, shelf):
    write_tiny_gguf(shelf / "shelved.gguf", seed=5)
    code, _, err = there("pull", "shelved")
    assert (code, err.splitlines()[0], err.splitlines()[-1]) == (0, "pulling `shelved`", "success")
    assert "llama" in there("show", "shelved")[1]
