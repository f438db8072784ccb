"""Servers for the tests: one for all of them, and others with settings of their own."""

import os
import shutil
from pathlib import Path

import pytest

from olpipe.model import ModelName
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

# ChatML with thinking and tools, in the words of Qwen3's template. It was written for these tests.
THINKING_TEMPLATE = """\
{%- if tools %}<|im_start|>system
# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Answer with <tool_call>{"name": NAME, "arguments": ARGUMENTS}</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}"""
MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")


@pytest.fixture(scope="session")
def server_home(photo_mini_home, tmp_path_factory) -> Path:
    """Return a home with `photo-mini`, and with tiny models of random weights.

    `tiny` writes text, `thinker` also thinks and calls tools, `seer` sees, and `vectors` makes embeddings.
    """
    home = tmp_path_factory.mktemp("server-home")
    shutil.copytree(photo_mini_home, home, dirs_exist_ok=True, symlinks=True)
    files = tmp_path_factory.mktemp("server-models")
    write_tiny_gguf(files / "tiny.gguf")
    write_tiny_gguf(files / "thinker.gguf", special=MARKERS, chat_template=THINKING_TEMPLATE)
    seer, projector = write_vision_gguf("qwen2_5_vl", files)
    write_tiny_bert(files / "vectors")
    sources = {
        "tiny": f"file:{files / 'tiny.gguf'}",
        "thinker": f"file:{files / 'thinker.gguf'}",
        "seer": f"file:{seer}#{projector}",
        "vectors": f"file:{files / 'vectors'}",
    }
    _fill(home, sources)
    return home


def _fill(home: Path, sources: dict[str, str]) -> None:
    """Pull models into a home, by the names that they get there."""
    settings = Settings(home=home)
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=home / "cache")
    for name, source in sources.items():
        origin, _ = find_source(source, plugins)
        pull(origin, ModelName.parse(name), library, plugins, progress=lambda progress: None)


@pytest.fixture(scope="session")
def server(server_home, tmp_path_factory):
    """Return a server that all tests share. They must not change its models."""
    with Started(server_home, tmp_path_factory.mktemp("server") / "log") as started:
        yield started


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Path:
    """Return a folder from which `workshop` pulls models: each `NAME.gguf` in it is one, see `shelf_source`."""
    folder = tmp_path_factory.mktemp("shelf")
    write_tiny_gguf(folder / "shelf-tiny.gguf", seed=7)
    return folder


@pytest.fixture(scope="session")
def workshop(shelf, tmp_path_factory):
    """Return a server whose models tests may change. It has `tiny`; tests give names of their own to what they add."""
    home, site = tmp_path_factory.mktemp("workshop"), tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("shelf_source.py"), site / "shelf_source.py")
    install_plugin(site, "shelf", "shelf_source")
    _fill(home, {"tiny": f"file:{write_tiny_gguf(tmp_path_factory.mktemp('workshop-models') / 'tiny.gguf')}"})
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    with Started(home, home / "log", PYTHONPATH=path, SHELF=str(shelf), OLPIPE_MAX_BLOB=str(8 << 20)) as started:
        yield started


@pytest.fixture
def start_server(server_home, tmp_path):
    """Return a function that starts a server of the test's own.

    Its models are those of `server_home`; with `copied=True` they are copies, which the test may change. Further
    arguments are variables of its environment.
    """
    running = []

    def start(*, copied: bool = False, **environment: str) -> Started:
        home = server_home
        if copied:
            home = tmp_path / f"home-{len(running)}"
            shutil.copytree(server_home, home, symlinks=True)
        running.append(Started(home, tmp_path / f"server-{len(running)}.log", **environment))
        return running[-1]

    yield start
    for one in running:
        one.close()
