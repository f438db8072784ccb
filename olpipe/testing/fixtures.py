"""Fixtures for tests of plugins and of whatever uses them. Import those that you need into a `conftest.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from olpipe.testing.install import install_plugin, install_project

AnnounceProject = Callable[[Path], str]


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder on the module path of this process and of those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    _put_on_path(folder, monkeypatch)
    return folder


@pytest.fixture
def announce_project(plugin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AnnounceProject:
    """Return a function that makes a project a plugin while a test runs, whether it is installed or not.

    The function takes the folder with `pyproject.toml` and `src`, and returns the plugin's name.
    """

    def announce(project: Path) -> str:
        _put_on_path(project / "src", monkeypatch)
        return install_project(plugin_folder, project)

    return announce


@pytest.fixture
def echo_plugin(plugin_folder: Path) -> str:
    """Install the echo backend as the plugin `echo` and return that name."""
    install_plugin(plugin_folder, "echo", "olpipe.testing.echo")
    return "echo"


def _put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([before] if before else [])]))
