"""The plugin's modules, and what olpipe makes of them."""

import csv
import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from olpipe.cli.main import cli
from olpipe.errors import ImageUnreadable
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.contracts import PluginContract
from olpipe.testing.images import photo


class TestModule(PluginContract):
    module = "olpipe_template"


class TestCommandsModule(PluginContract):
    module = "olpipe_template.commands"


def invoke(*arguments):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_the_perceiver_and_the_sink_are_registered(installed, tmp_path):
    plugins = Plugins.load(Settings(home=tmp_path))
    assert plugins.perceivers.from_plugin("template") == ("colours",)
    assert plugins.sinks.from_plugin("template") == ("csv",)


def test_the_plugin_is_listed_with_what_it_brings(installed):
    rows = [line.split() for line in invoke("plugins").stdout.splitlines()]
    row = next(row for row in rows if row[0] == "template")
    assert row[3:] == ["loaded", "perceiver", "colours,", "sink", "csv,", "command", "colours"]


def test_the_command_is_in_the_help(installed):
    assert "colours" in invoke("--help").stdout


def test_the_command_writes_the_colours_of_each_image(installed, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(photo(file_format="PNG"))
    result = invoke("colours", str(path))
    assert result.stdout == (
        f'{{"file": "{path}", "colours": {{"blue": 0.25, "green": 0.25, "red": 0.25, "white": 0.25}}}}\n'
    )


def test_the_command_writes_a_csv_file(installed, tmp_path):
    path, target = tmp_path / "a.png", tmp_path / "colours.csv"
    path.write_bytes(photo(file_format="PNG"))
    assert invoke("colours", str(path), "--csv", str(target)).stdout == ""
    with target.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["file"] == str(path)
    assert json.loads(row["colours"]) == {"blue": 0.25, "green": 0.25, "red": 0.25, "white": 0.25}


def test_the_command_names_an_image_that_cannot_be_read(installed, tmp_path):
    with pytest.raises(ImageUnreadable, match=r"missing.png` cannot be opened: No such file or directory"):
        invoke("colours", str(tmp_path / "missing.png"))


def test_the_tests_announce_what_the_distribution_announces():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {
        "olpipe": {"template": "olpipe_template"},
        "olpipe.commands": {"colours": "olpipe_template.commands"},
    }
