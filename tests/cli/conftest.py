import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from olpipe.cli.main import main
from olpipe.model import ModelConfig, ModelName
from olpipe.pipeline.ledger import LEDGER_PATH
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.fixtures import echo_plugin, plugin_folder
from olpipe.testing.images import photo
from olpipe.testing.vision_models import FAMILIES, write_vision_gguf
from tests.cli.answering import echo_home, echo_server, echo_site, random_home, start_server

__all__ = [
    "echo_home",
    "echo_plugin",
    "echo_server",
    "echo_site",
    "plugin_folder",
    "random_home",
    "start_server",
]

CLI = (sys.executable, "-P", "-m", "olpipe")


class Batch:
    """A folder of photos, the echo model, and the command line over both."""

    def __init__(self, root, home, capsys):
        self.photos = root / "photos"
        self.photos.mkdir()
        self.output = root / "out"
        self._library = Library(home / "models", cache=home / "cache")
        self._capsys = capsys
        self.model()

    def model(self, *, languages=(), **options):
        """Make the model `echo` behave as the options say."""
        layer = replace(self._library.add_bytes(json.dumps(options).encode()), name="echo.json")
        config = ModelConfig(model_format="echo", capabilities=("completion", "vision"), languages=languages)
        self._library.commit(ModelName.parse("echo"), config, [layer])

    def put(self, *names, data=None):
        """Write photos, each with pixels of its own unless the bytes are given."""
        for name in names:
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo(mark=name) if data is None else data)

    def arguments(self, *more, inputs=None):
        given = [self.photos] if inputs is None else inputs
        return ["batch", *map(str, given), "-o", str(self.output), "--model", "echo", *map(str, more)]

    def run(self, *more, inputs=None):
        """Run in this process; return exit code and stderr. Nothing may go to stdout."""
        with pytest.raises(SystemExit) as ended:
            main(self.arguments(*more, inputs=inputs))
        captured = self._capsys.readouterr()
        assert captured.out == ""
        return ended.value.code, captured.err

    def said(self):
        """Return what was written to stderr since the last run, and forget it."""
        return self._capsys.readouterr().err

    def start(self, *more, inputs=None, environment=None, **options):
        """Start in a process of its own."""
        environment = {**os.environ, **(environment or {})}
        return subprocess.Popen([*CLI, *self.arguments(*more, inputs=inputs)], env=environment, **options)

    def _lines(self, name):
        with open(self.output / name, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    @property
    def records(self):
        return self._lines("records.jsonl")

    @property
    def failures(self):
        return self._lines("failures.jsonl")

    @property
    def files(self):
        return [record["file"] for record in self.records]

    @property
    def report(self):
        return json.loads((self.output / "run.json").read_text(encoding="utf-8"))

    @property
    def ledger(self):
        return self.output / LEDGER_PATH


@pytest.fixture
def batch(tmp_path, isolated_home, echo_plugin, capsys):
    return Batch(tmp_path, isolated_home, capsys)


@pytest.fixture(scope="session")
def vision_home(tmp_path_factory):
    """Return a home folder with a tiny vision model of each family, called like the family."""
    folder = tmp_path_factory.mktemp("vision")
    settings = Settings(home=folder / "home")
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    for family in FAMILIES:
        text, projector = write_vision_gguf(family, folder / family)
        origin, _ = find_source(f"file:{text}#{projector}", plugins)
        pull(origin, ModelName.parse(family), library, plugins, progress=lambda _: None)
    return settings.home


@pytest.fixture
def seeing(batch, vision_home, monkeypatch):
    """The command line over a folder of photos, with a tiny vision model of each family."""
    monkeypatch.setenv("OLPIPE_HOME", str(vision_home))
    return batch
