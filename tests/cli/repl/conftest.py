"""Models that sessions talk with, and somebody who types."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.install import install_plugin
from tests.cli.repl.typist import Typist

ECHO = {"endless_on": "again", "crash_on": "crash", "fail_on": "fail", "delay_s": 0.002}
TEXTS = {
    "license": "Do as you like.",
    "system": "Be brief.",
    "params": json.dumps({"temperature": 0.5, "stop": ["###"]}),
    "messages": json.dumps([{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "An echo."}]),
}


def put_echo(home: Path, name: str, capabilities: tuple[str, ...], texts: dict[str, str], **options: object) -> None:
    """Make an echo model in a home."""
    library = Library(home / "models", cache=home / "cache")
    layers = [replace(library.add_bytes(json.dumps(options).encode()), name="echo.json")]
    layers += [replace(library.add_bytes(text.encode()), media_type=MEDIA_TYPE + kind) for kind, text in texts.items()]
    config = ModelConfig(model_format="echo", context_length=4096, capabilities=capabilities)
    library.commit(ModelName.parse(name), config, layers)


@pytest.fixture(scope="session")
def echo_site(tmp_path_factory):
    """Return a folder for PYTHONPATH that brings the echo backend."""
    folder = tmp_path_factory.mktemp("site")
    install_plugin(folder, "echo", "olpipe.testing.echo")
    return folder


@pytest.fixture(scope="session")
def echo_home(tmp_path_factory):
    """Return a home with models that repeat what they are told.

    `echo` sees, `thinker` thinks first, `blind` only reads, and `full` has all texts that a model may have.
    """
    home = tmp_path_factory.mktemp("echo-home")
    put_echo(home, "echo", ("completion", "vision"), {}, **ECHO)
    put_echo(home, "thinker", ("completion", "thinking"), {}, **ECHO)
    put_echo(home, "blind", ("completion",), {}, **ECHO, sees=False)
    put_echo(home, "full", ("completion",), TEXTS, **ECHO)
    return home


@pytest.fixture(scope="session")
def start(echo_home, echo_site):
    """Return a function that starts a session with a model, in the home of the echo models unless told otherwise."""

    def start(*arguments, home=echo_home, ready=True, **given):
        typist = Typist(*arguments, **{"OLPIPE_HOME": str(home), "PYTHONPATH": str(echo_site), **given})
        if ready:
            typist.wait()
        return typist

    return start


@pytest.fixture(scope="module")
def talk(start):
    """Return a session with `echo` that the tests of a module share."""
    with start("echo") as typist:
        yield typist
