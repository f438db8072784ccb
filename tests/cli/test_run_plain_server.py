"""`olpipe run` with a server that is not olpipe: all that Ollama's API knows works, and nothing is ignored silently."""

import json

import pytest

from olpipe.cli.main import main
from olpipe.testing.images import photo
from tests.cli.plain_server import PlainServer

PURE = (
    "total duration", "load duration", "prompt eval count", "prompt eval duration",
    "prompt eval rate", "eval count", "eval duration", "eval rate", "done reason",
)  # fmt: skip
NOT_OLPIPE = "is not olpipe, and does not know"


@pytest.fixture(scope="module")
def plain(random_home, echo_server):
    with PlainServer(echo_server.url) as server:
        yield server


@pytest.fixture
def run(plain, monkeypatch, capsys):
    """Run a command line; gives exit code, stdout and stderr."""
    monkeypatch.setenv("OLPIPE_SERVER", "on")
    monkeypatch.setenv("OLLAMA_HOST", plain.url)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["run", *map(str, arguments)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_answers_documents_thoughts_and_photos(run, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(photo())
    assert run("thinker", "hello you") == (0, "hello you\n", "Thinking...\nHm.\n...done thinking.\n\n")
    assert run("echo", f"see {path}") == (0, "[image 48x32] see\n", f"Added image '{path}'\n")
    schema = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]}
    assert run("echo", "what?", "--format", json.dumps(schema)) == (0, '{"n":7}\n', "")
    assert run("twice", "what?", "--format", "json")[0] == 0


def test_statistics_are_those_that_such_a_server_tells(run):
    code, _, said = run("full", "hello you", "--verbose")
    rows = dict(line.split(":", 1) for line in said.splitlines())
    assert (code, tuple(rows)) == (0, PURE)
    assert rows["eval count"].strip() == "2 token(s)"


def test_vectors(run):
    code, out, said = run("vectors", "the dog", "--dimensions", 4, "--verbose")
    assert (code, len(json.loads(out))) == (0, 4)
    assert said.startswith("prompt eval count:    4 token(s)\nprompt eval duration: ")


def test_what_it_does_not_know_is_refused(run):
    code, out, said = run("echo", "hello", "--perceivers", "photo-mini")
    assert (code, out) == (2, "")
    assert f"{NOT_OLPIPE} perceivers\nhint: leave that out, or " in said
    code, out, said = run("seer", "hello", "--image-tokens", 5)
    assert (code, out) == (2, "")
    assert f"{NOT_OLPIPE} a number of image tokens\n" in said


def test_a_model_that_is_missing_is_asked_for_and_the_nearest_is_offered(run):
    assert run("ehco", "hi") == (
        1, "", "error: model `ehco` is not on this machine\nhint: did you mean `echo:latest`?\n",
    )  # fmt: skip
