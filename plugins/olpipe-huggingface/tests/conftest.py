from pathlib import Path

import pytest

from olpipe.testing.fixtures import announce_project, plugin_folder

__all__ = ["announce_project", "plugin_folder"]

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def installed(announce_project):
    """Make the project a plugin, so that the tests run where it is not installed; return the plugin's name."""
    return announce_project(PROJECT)
