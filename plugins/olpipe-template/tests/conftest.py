import os
from pathlib import Path

import pytest

from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture(autouse=True)
def source_on_the_path(monkeypatch):
    """Let the tests run where the plugin is not installed; leave this out where it always is."""
    monkeypatch.syspath_prepend(SOURCE)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCE), *([before] if before else [])]))


@pytest.fixture
def installed(plugin_folder):
    """Announce the plugin as its `pyproject.toml` does."""
    install_plugin(plugin_folder, "template", "olpipe_template", commands={"colours": "olpipe_template.commands"})
