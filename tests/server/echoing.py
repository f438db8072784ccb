"""A server with the model `echo`, whose answers are known: it repeats what it is told, thinks and calls tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from olpipe.model import ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.install import install_plugin
from tests.server.started import Started

CAPABILITIES = ("completion", "vision", "tools", "thinking")


@contextmanager
def echo_server(folder: Path, **options: Any) -> Iterator[Started]:
    """Start a server of its own.

    Args:
        folder: An empty folder.
        **options: The fields of `EchoOptions`.
    """
    home, plugins = folder / "home", folder / "plugins"
    home.mkdir()
    plugins.mkdir()
    install_plugin(plugins, "echo", "olpipe.testing.echo")
    library = Library(home / "models", cache=home / "cache")
    layer = replace(library.add_bytes(json.dumps(options).encode()), name="echo.json")
    config = ModelConfig(model_format="echo", capabilities=CAPABILITIES)
    library.commit(ModelName.parse("echo"), config, [layer])
    with Started(home, folder / "log", PYTHONPATH=str(plugins)) as started:
        yield started
