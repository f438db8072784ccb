"""The plugin's modules, and what olpipe makes of them."""

import json

import pytest

from olpipe import entry_points
from olpipe.errors import ImageUnreadable
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.commands import run_command
from olpipe.testing.contracts import PluginContract
from olpipe.testing.images import photo

EVERYTHING = {
    "backends": ("counts",),
    "families": ("Means",),
    "model_sources": ("counts",),
    "perceivers": ("colours",),
    "sinks": ("tsv",),
}


class TestModule(PluginContract):
    module = "olpipe_template"


class TestCommandsModule(PluginContract):
    module = "olpipe_template.commands"
    commands = ("colours",)


def test_everything_is_registered(installed, tmp_path):
    registries = Plugins.load(Settings(home=tmp_path)).registries()
    found = {kind: registry.from_plugin(installed) for kind, registry in registries.items()}
    assert {kind: names for kind, names in found.items() if names} == EVERYTHING


def test_the_plugin_is_loaded(installed, tmp_path):
    (row,) = (row for row in Plugins.load(Settings(home=tmp_path)).rows if row.name == installed)
    assert (row.status, row.error) == ("loaded", "")


def test_the_command_is_announced():
    assert "colours" in entry_points.names(entry_points.COMMANDS)


def test_the_command_writes_the_colours_of_each_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(photo(file_format="PNG"))
    assert run_command("colours", str(path)) == (
        f'{{"file": "{path}", "colours": {{"blue": 0.25, "green": 0.25, "red": 0.25, "white": 0.25}}}}\n'
    )


def test_the_command_writes_a_table(tmp_path):
    path, target = tmp_path / "a.png", tmp_path / "colours.tsv"
    path.write_bytes(photo(file_format="PNG"))
    assert run_command("colours", str(path), "--tsv", str(target)) == ""
    columns, cells = (line.split("\t") for line in target.read_text().splitlines())
    row = dict(zip(columns, cells, strict=True))
    assert row["file"] == str(path)
    assert json.loads(row["colours"]) == {"blue": 0.25, "green": 0.25, "red": 0.25, "white": 0.25}


def test_the_command_names_an_image_that_cannot_be_read(tmp_path):
    with pytest.raises(ImageUnreadable, match=r"missing.png` cannot be opened: No such file or directory"):
        run_command("colours", str(tmp_path / "missing.png"))
