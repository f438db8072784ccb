"""The commands about models with servers that are not as expected: one dies, one is locked, one is Ollama."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olpipe.cli.inventory.plan import Plan
from olpipe.cli.inventory.there import There
from olpipe.cli.main import main
from olpipe.client.server import Server
from olpipe.errors import UsageError
from olpipe.network.addresses import Address
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from tests.cli.ollama_stand_in import OllamaStandIn
from tests.client.http_server import HttpServer
from tests.server.started import Started

SHELF_SOURCE = Path(__file__).parents[1] / "server" / "shelf_source.py"


@pytest.fixture
def run(capfd):
    """Run a command line in this process; return its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capfd.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_a_server_that_is_killed_while_it_pulls_is_one_clear_line(tmp_path):
    site, shelf = tmp_path / "site", tmp_path / "shelf"
    site.mkdir()
    shelf.mkdir()
    shutil.copy(SHELF_SOURCE, site)
    install_plugin(site, "shelf", "shelf_source")
    write_tiny_gguf(shelf / "slow.gguf")
    (shelf / "slow.wait").touch()
    with Started(tmp_path / "home", tmp_path / "log", PYTHONPATH=str(site), SHELF=str(shelf)) as server:
        variables = {**os.environ, "OLPIPE_SERVER": "on", "OLLAMA_HOST": server.url}
        command = [sys.executable, "-P", "-m", "olpipe", "pull", "slow"]
        pull = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not (shelf / "slow.log").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        server.process.send_signal(signal.SIGKILL)
        out, err = pull.communicate(timeout=60)
    assert (pull.returncode, out) == (1, "")
    assert [line for line in err.splitlines() if not line.startswith("pulling ")] == [
        f"error: the server at {server.url} went away",
        "hint: look at its log, start it again with `olpipe serve`, then run the command again",
    ]


def test_a_pull_that_ends_before_it_is_done_is_one_clear_line(run, monkeypatch):
    def answer(handler):
        body = b'{"version":"1"}' if handler.path == "/api/version" else b'{"status":"pulling manifest"}\n'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with HttpServer(handle=answer) as server:
        monkeypatch.delenv("OLPIPE_SERVER")
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
        said = f"error: the server at http://127.0.0.1:{server.port} went away before it was done\n"
        assert run("pull", "x") == (1, "", f"{said}hint: run the command again: what has come so far is kept\n")


def test_something_else_that_answers_is_one_clear_line(run, monkeypatch):
    with HttpServer(b"<html>Not here</html>", status=404) as server:
        monkeypatch.delenv("OLPIPE_SERVER")
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
        said = f"error: what answers at http://127.0.0.1:{server.port} is no server of models\n"
        assert run("list") == (1, "", f"{said}hint: look at OLLAMA_HOST\n")


COMMANDS = ("list", "show x", "ps", "stop x", "cp x y", "rm x", "pull x", "push x")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_chosen_address_where_nobody_listens_is_one_clear_line(run, line, monkeypatch):
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    hint = "run `olpipe serve` in another window; or unset OLLAMA_HOST, and the command does its work itself"
    assert run(*line.split()) == (1, "", f"error: no server answers at http://127.0.0.1:9\nhint: {hint}\n")


def test_a_server_that_wants_a_key_or_lets_nobody_change_its_models_says_so(run, start_server, monkeypatch):
    server = start_server(OLPIPE_API_KEY="open-sesame", OLPIPE_MANAGEMENT="off")
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    hint = "hint: set OLPIPE_API_KEY to a key of the server\n"
    assert run("list") == (2, "", f"error: the server at {server.url} lets nobody in without a key\n{hint}")
    monkeypatch.setenv("OLPIPE_API_KEY", "sesame")
    assert run("list") == (2, "", f"error: the server at {server.url} does not know the key\n{hint}")
    monkeypatch.setenv("OLPIPE_API_KEY", "open-sesame")
    assert "echo:latest" in run("list")[1]
    said = "error: models cannot be changed on this server\nhint: OLPIPE_MANAGEMENT is `off` there\n"
    assert run("rm", "echo") == (1, "", said)
    assert run("pull", "echo")[::2] == (1, said)


# --- Ollama itself ------------------------------------------------------------------------------


@pytest.fixture
def ollama(run, monkeypatch):
    """Return a stand-in for Ollama, which the commands of the test use."""
    with OllamaStandIn() as ollama:
        monkeypatch.delenv("OLPIPE_SERVER")
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        yield ollama


def test_the_models_of_ollama_are_listed(run, ollama):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert rows[1][:3] == ["gemma3:4b", "a2af6cc3eb7f", "3.3 GB"]
    assert rows[1][3].endswith(" ago") or rows[1][3].endswith(" from now")
    assert rows[2] == ["large:cloud", "bbbbbbbbbbbb", "-", "Never"]


def test_what_ollama_has_in_memory_is_listed(run, ollama):
    rows = [re.split(r" {2,}", line) for line in run("ps")[1].splitlines()]
    assert rows[1] == ["gemma3:4b", "a2af6cc3eb7f", "6 GB", "52%/48% CPU/GPU", "4096", "Forever"]


def test_a_model_of_ollama_is_shown_with_ollamas_sections(run, ollama):
    code, out, err = run("show", "gemma3:4b")
    assert (code, err) == (0, "")
    assert out == (
        "  Model\n"
        "    architecture        gemma3\n"
        "    parameters          4.3B\n"
        "    context length      131072\n"
        "    embedding length    2560\n"
        "    quantization        Q4_K_M\n"
        "\n  Capabilities\n    completion\n    vision\n"
        "\n  Projector\n"
        "    architecture        clip\n"
        "    parameters          419.82M\n"
        "    embedding length    1152\n"
        "    dimensions          2560\n"
        '\n  Parameters\n    stop           "<end_of_turn>"\n    temperature    1\n'
        "\n  License\n    Gemma Terms of Use\n    Last modified: February 21, 2024\n    ...\n"
    )
    verbose = run("show", "gemma3:4b", "--verbose")[1]
    assert "\n  Metadata\n    gemma3.attention.head_count     8\n" in verbose
    assert "    tokenizer.ggml.add_bos_token    true\n" in verbose
    assert "    tokenizer.ggml.tokens           [<pad> ...+3 more]\n" in verbose
    assert "\n  Tensors\n    blk.0.attn_k.weight    Q4_K    [2560 1024]\n" in verbose


def test_a_model_of_ollama_is_unloaded_before_it_is_removed(run, ollama):
    assert run("rm", "gemma3:4b") == (0, "", "deleted 'gemma3:4b'\n")
    asked = [(method, path) for method, path, _ in ollama.asked if path != "/api/version"]
    assert asked == [("POST", "/api/generate"), ("DELETE", "/api/delete")]
    assert run("rm", "gemma:4b")[2].splitlines()[0] == "error: model `gemma:4b` is not on this machine"


def test_what_only_olpipe_can_do_is_not_asked_of_ollama(run, ollama, tmp_path):
    code, _, err = run("pull", "gemma3:4b", "--name", "mine")
    assert (code, err.splitlines()[-1]) == (2, "hint: leave out `--name`, then run `olpipe cp`")
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    code, _, err = run("pull", f"file:{path}")
    assert (code, "which is not olpipe, takes none" in err) == (2, True)
    assert [path for _, path, _ in ollama.asked if path == "/api/pull"] == []


def test_a_model_that_ollama_finds_nowhere_is_one_clear_line(run, ollama):
    code, out, err = run("pull", "nobody-has-it")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "error: no source has a model `nobody-has-it`"


def test_a_file_is_not_sent_to_another_machine_by_its_path(run, tmp_path, monkeypatch):
    """A server on another machine cannot be had in a test, so this asks for the plan alone."""
    plan = Plan.make(f"file:{tmp_path}/tiny.gguf", Plugins.load(Settings(home=tmp_path)), called=None)
    with Server(Address("http", "192.0.2.1", 11434)) as far, pytest.raises(UsageError) as caught:
        There(far, tmp_path).pull(plan, lambda line: None)
    assert caught.value.message.endswith("the server at http://192.0.2.1:11434 is on another one")
    assert "`olpipe create MODEL -f Modelfile` sends the file" in str(caught.value.hint)
