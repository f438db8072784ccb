"""A hub on this machine, and a command line that asks it."""

import pytest

from olpipe.cli.main import main
from tests.default_plugins.hub_server import HubServer


@pytest.fixture
def hub():
    with HubServer() as hub:
        yield hub


@pytest.fixture
def run(hub, capsys, monkeypatch):
    """Run a command line whose hub is ours, and return exit code, data and talk."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run
