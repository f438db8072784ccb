"""Fixtures for tests of plugins and of whatever uses them; import those you need into a `conftest.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from olpipe.testing.install import install_plugin

Install = Callable[..., None]


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder on the module path of this process and of those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([before] if before else [])]))
    return folder


@pytest.fixture
def echo_plugin(plugin_folder: Path) -> str:
    """Install the echo backend as the plugin `echo` and return that name."""
    install_plugin(plugin_folder, "echo", "olpipe.testing.echo")
    return "echo"
