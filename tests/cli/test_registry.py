"""`olpipe pull`, `push` and `run` with a registry, on the command line."""

import json

import pytest

from olpipe.cli.main import main
from olpipe.testing.models import write_tiny_gguf
from tests.server.started import free_port
from tests.store.registry_server import RegistryServer, digest_of


@pytest.fixture
def server(monkeypatch):
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        yield server


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


@pytest.fixture
def olpipe(capsys):
    """Run a command in this process; return its exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_a_name_that_no_plugin_offers_is_pulled_from_the_default_registry(olpipe, server, weights):
    manifest = server.put("library/tiny:1b", [server.layer(weights)])
    code, out, said = olpipe("pull", "tiny:1b")
    assert (code, out) == (0, "")
    assert said.splitlines()[0] == "pulling `tiny:1b` from `tiny:1b`"
    assert said.splitlines()[-1] == "success"
    (model,) = json.loads(olpipe("list", "--json")[1])
    assert (model["name"], model["digest"]) == ("tiny:1b", digest_of(manifest)[7:])
    shown = olpipe("show", "tiny:1b")[1]
    assert "llama" in shown


def test_a_model_that_is_not_here_is_pulled_when_it_is_run(olpipe, server, weights):
    server.put("library/tiny", [server.layer(weights)])
    code, out, _ = olpipe("run", "tiny", "the cat", "--max-tokens", "2")
    assert code == 0 and out
    before = len(server.asked)
    assert olpipe("run", "tiny", "the cat", "--max-tokens", "2")[0] == 0
    assert len(server.asked) == before


def test_a_model_that_the_registry_does_not_have_either_is_not_found(olpipe, server):
    code, _, said = olpipe("run", "nobody-has-it", "hello")
    error, hint = said.splitlines()[-2:]
    assert (code, error) == (1, "error: model `nobody-has-it` is not on this machine")
    assert hint.endswith(f"; the registry `{server.host}` has no model `nobody-has-it:latest`")
    code, _, said = olpipe("pull", "nobody-has-it")
    assert (code, said.splitlines()[-1]) == (
        1,
        f"error: the registry `{server.host}` has no model `nobody-has-it:latest`",
    )


def test_a_registry_that_cannot_be_reached_is_told_behind_what_else_there_is_to_say(olpipe, monkeypatch):
    port = free_port()
    monkeypatch.setenv("OLPIPE_REGISTRY", f"http://127.0.0.1:{port}")
    code, _, said = olpipe("run", "nobody-has-it", "hello")
    error, hint = said.splitlines()[-2:]
    assert (code, error) == (1, "error: model `nobody-has-it` is not on this machine")
    assert hint.startswith("hint: run `olpipe pull nobody-has-it` if the registry has it, or `olpipe pull file:PATH`")
    assert f"; could not reach `127.0.0.1:{port}`: " in hint
    code, _, said = olpipe("pull", "nobody-has-it")
    assert code == 1
    assert f"error: could not reach `127.0.0.1:{port}`: " in said


@pytest.mark.parametrize(
    "arguments", [("batch", "{photos}", "-o", "{out}", "--model", "tiny"), ("show", "tiny"), ("doctor", "tiny")]
)
def test_no_other_command_asks_the_registry(olpipe, server, weights, tmp_path, arguments):
    server.put("library/tiny", [server.layer(weights)])
    (tmp_path / "photos").mkdir()
    places = {"photos": tmp_path / "photos", "out": tmp_path / "out"}
    assert olpipe(*(one.format(**places) for one in arguments))[0] != 0
    assert server.asked == []


def test_plain_http_is_used_only_where_it_is_allowed(olpipe, server, weights):
    server.put("me/tiny", [server.layer(weights)])
    name = f"{server.host}/me/tiny"
    code, _, said = olpipe("pull", name)
    assert code == 1
    assert "does not speak HTTPS" in said and "hint: `--insecure` asks over plain HTTP" in said
    assert olpipe("pull", f"http://{name}")[0] == 2
    assert olpipe("pull", name, "--insecure")[0] == 0
    assert olpipe("pull", f"http://{name}", "--insecure", "--name", "other")[0] == 0


def test_plain_http_needs_to_be_allowed_for_a_registry_that_is_named_by_its_scheme_too(olpipe, server, weights):
    server.put("me/tiny", [server.layer(weights)])
    name = f"{server.host}/me/tiny"
    code, _, said = olpipe("pull", f"oci:http://{name}")
    assert (code, said.splitlines()[-1]) == (2, "hint: write `https://`, or allow it with `--insecure`")
    assert olpipe("pull", f"oci:{name}")[0] == 1
    assert server.asked == []
    assert olpipe("pull", f"oci:{name}", "--insecure")[0] == 0
    assert olpipe("pull", f"oci:http://{name}", "--insecure", "--name", "other")[0] == 0


def test_a_path_that_is_no_model_in_the_registry_is_told_to_be_one(olpipe, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    code, _, said = olpipe("pull", "models")
    assert (code, said.splitlines()[-1]) == (1, "hint: it is a path: run `olpipe pull file:models`")


def test_a_model_is_pushed_under_its_name_and_pulled_elsewhere(olpipe, server, weights, tmp_path, monkeypatch):
    server.put("library/tiny", [server.layer(weights)])
    olpipe("pull", "tiny")
    name = f"{server.host}/me/tiny:v1"
    olpipe("cp", "tiny", name)
    code, out, said = olpipe("push", name, "--insecure")
    assert (code, out) == (0, "")
    assert said == f"pushing `{name}`\nsuccess\nYou can find your model at:\n\n\t{name}\n"
    monkeypatch.setenv("OLPIPE_HOME", str(tmp_path / "elsewhere"))
    assert olpipe("pull", name, "--insecure")[0] == 0
    assert server.manifests["me/tiny", "v1"] == server.manifests["library/tiny", "latest"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("nobody", 1, "model `nobody:latest` is not on this machine"), ("../x", 2, "`../x` is not a model name")],
)
def test_what_is_not_here_cannot_be_pushed(olpipe, server, name, code, said):
    found, _, error = olpipe("push", name)
    assert (found, error.splitlines()[0]) == (code, f"error: {said}")
    assert server.asked == []


def test_a_push_that_the_registry_refuses_says_so(olpipe, server, weights):
    server.put("library/tiny", [server.layer(weights)])
    olpipe("pull", "tiny")
    server.user, server.needs_token = "me:secret", True
    code, _, said = olpipe("push", "tiny")
    assert code == 1
    assert "over plain HTTP everybody on the way could read it" in said
    code, _, said = olpipe("push", "tiny", "--insecure")
    assert code == 1
    assert f"error: `{server.host}` gives no access without a user name" in said
