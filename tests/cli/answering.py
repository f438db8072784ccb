"""Models that answer in both ways: through the engine of a command, and through a server that really runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf
from tests.server.started import Started

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


def pull_file(path: Path | str, name: str, home: Path) -> None:
    """Bring a model in a file into a home."""
    settings = Settings(home=home)
    plugins = Plugins.load(settings)
    origin, _ = find_source(f"file:{path}", plugins)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    pull(origin, ModelName.parse(name), library, plugins, progress=lambda progress: None)


@pytest.fixture(scope="session")
def echo_site(tmp_path_factory):
    """Return a folder for PYTHONPATH that brings the echo backend."""
    folder = tmp_path_factory.mktemp("site")
    install_plugin(folder, "echo", "olpipe.testing.echo")
    return folder


@pytest.fixture(scope="session")
def echo_home(tmp_path_factory):
    """Return a home with models that repeat what they are told.

    `echo` sees, `thinker` thinks first, `blind` only reads, and `full` has all texts that a model may have. `boxer`
    answers about any photo where something is, `boxless` cannot say that, and `twice` says
    everything twice.
    """
    home = tmp_path_factory.mktemp("echo-home")
    sees = ("completion", "vision")
    put_echo(home, "echo", sees, {}, **ECHO)
    put_echo(home, "thinker", ("completion", "thinking"), {}, **ECHO)
    put_echo(home, "blind", ("completion",), {}, **ECHO, sees=False)
    put_echo(home, "full", ("completion",), TEXTS, **ECHO)
    put_echo(home, "boxer", sees, {}, document={"bbox_2d": [500, 0, 1000, 500]})
    put_echo(home, "boxless", sees, {}, boxes=None)
    put_echo(home, "twice", ("completion",), {}, document={"tags": ["a", "a"]})
    return home


@pytest.fixture(scope="session")
def random_home(echo_home, tmp_path_factory):
    """Return the same home, with models of random weights: `tiny` writes, `seer` sees, `vectors` makes embeddings."""
    files = tmp_path_factory.mktemp("random-models")
    pull_file(write_tiny_gguf(files / "tiny.gguf"), "tiny", echo_home)
    seer, projector = write_vision_gguf("qwen2_5_vl", files)
    pull_file(f"{seer}#{projector}", "seer", echo_home)
    pull_file(write_tiny_bert(files / "vectors"), "vectors", echo_home)
    return echo_home


@pytest.fixture(scope="session")
def start_server(echo_home, echo_site, tmp_path_factory):
    """Return a function that starts a server with the echo backend, with the echo models unless told otherwise."""
    running = []

    def start(*, home=echo_home, port=0, **environment):
        log = tmp_path_factory.mktemp("server") / "log"
        running.append(Started(home, log, port=port, **{"PYTHONPATH": str(echo_site), **environment}))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def echo_server(start_server):
    """Return a server with the echo models, which all tests share."""
    return start_server()
