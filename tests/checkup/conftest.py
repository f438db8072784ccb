import importlib
import json
import shutil
from pathlib import Path

import pytest

from olpipe.cli.main import main
from olpipe.store.library import Library
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


@pytest.fixture
def eyes(plugin_folder, library):
    """Return a function that puts a model with eyes into the store, under the name `eyes`."""
    shutil.copy(Path(__file__).with_name("seeing.py"), plugin_folder / "seeing.py")
    install_plugin(plugin_folder, "seeing", "seeing")
    seeing = importlib.import_module("seeing")

    def put(**manner):
        seeing.put_model(library, **manner)

    return put


@pytest.fixture
def olpipe(capsys):
    """Run a command line in this process; return exit code, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture
def examine(olpipe):
    """Examine the model `eyes`; return what `--json` writes."""

    def run():
        code, out, said = olpipe("doctor", "eyes", "--eyes", "--json")
        assert code == 0, said
        return json.loads(out)

    return run
