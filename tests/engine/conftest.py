import logging

import hypothesis
import pytest

from olpipe.testing.fixtures import echo_plugin, plugin_folder

__all__ = ["echo_plugin", "plugin_folder"]

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def logs_reach_caplog(monkeypatch):
    """Undo what a command line run in this process set up."""
    monkeypatch.setattr(logging.getLogger("olpipe"), "propagate", True)
