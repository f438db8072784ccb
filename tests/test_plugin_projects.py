"""A hint names the plugin to install where a name is one that a plugin of this project brings."""

import importlib
import tomllib
from pathlib import Path

import pytest

from olpipe.errors import UnknownName
from olpipe.plugin_projects import BRINGS
from olpipe.plugins import Plugins

PROJECTS = sorted(path.parent for path in (Path(__file__).parents[1] / "plugins").glob("*/pyproject.toml"))
EXAMPLE = "olpipe-template"


@pytest.fixture
def nothing_installed():
    """Return registries as they are where only the default plugins could be there."""
    return Plugins()


@pytest.mark.parametrize("project", [path for path in PROJECTS if path.name != EXAMPLE], ids=lambda path: path.name)
def test_the_table_says_what_each_plugin_of_the_project_brings(project, monkeypatch):
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    monkeypatch.syspath_prepend(project / "src")
    plugins = Plugins()
    for name, module in described["entry-points"]["olpipe"].items():
        assert f"olpipe-{name}" == described["name"] == project.name
        plugins.add(importlib.import_module(module), name)
    brought = {registry.kind: registry.names() for registry in plugins.registries().values() if len(registry)}
    assert BRINGS[project.name] == brought


def test_the_table_names_no_other_project():
    assert sorted([*BRINGS, EXAMPLE]) == [path.name for path in PROJECTS]


@pytest.mark.parametrize(
    ("kind", "name", "project"),
    [
        ("executors", "ray", "olpipe-ray"),
        ("sinks", "xmp", "olpipe-xmp"),
        ("sinks", "parquet", "olpipe-parquet"),
        ("perceivers", "ocr", "olpipe-ocr"),
        ("backends", "llamacpp", "olpipe-llamacpp"),
    ],
)
def test_the_hint_for_a_name_that_a_plugin_brings_says_what_to_install(nothing_installed, kind, name, project):
    with pytest.raises(UnknownName) as caught:
        nothing_installed.registries()[kind].get(name)
    assert caught.value.hint == f"run `pip install {project}`, the plugin that brings it"


def test_a_plugin_that_is_installed_and_not_loaded_is_not_to_be_installed_again(nothing_installed):
    nothing_installed.executors.not_loaded = "; not loaded: `ray` (disabled)"
    with pytest.raises(UnknownName) as caught:
        nothing_installed.executors.get("ray")
    assert caught.value.hint == "the plugin `ray` brings it; not loaded: `ray` (disabled)"


def test_the_hint_for_a_sink_of_the_command_export_says_the_same(tmp_path, nothing_installed):
    from olpipe.pipeline.export import export_records

    with pytest.raises(UnknownName) as caught:
        export_records(tmp_path, ["coco:boxes"], nothing_installed.sinks)
    assert caught.value.hint == "run `pip install olpipe-coco`, the plugin that brings it"
