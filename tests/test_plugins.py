"""Plugins: found, loaded alone, and kept from harming one another."""

import json
import sys

import pytest
from click.testing import CliRunner

from olpipe.cli.main import cli
from olpipe.errors import PluginError
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.fixtures import echo_plugin, plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["echo_plugin", "plugin_folder"]

WORKING = """
from olpipe.hookspecs import hookimpl
from olpipe.testing.echo import EchoBackend

class Other(EchoBackend):
    name = "{name}"

@hookimpl
def register_backends():
    return [Other()]
"""


@pytest.fixture
def install(plugin_folder, monkeypatch):
    """Write a module and announce it as a plugin."""

    def install(name: str, source: str) -> None:
        module = "plugin_under_test_" + name.replace(".", "_")
        (plugin_folder / f"{module}.py").write_text(source)
        install_plugin(plugin_folder, name, module)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.fixture
def load(tmp_path, caplog):
    """Load all plugins; return them, their rows by name, and the lines of warning."""

    def load(**settings: object) -> tuple[Plugins, dict[str, object], list[str]]:
        caplog.clear()
        plugins = Plugins.load(Settings(home=tmp_path, **settings))
        return plugins, {row.name: row for row in plugins.rows}, [record.getMessage() for record in caplog.records]

    return load


def test_an_installed_plugin_is_loaded_and_named_with_its_distribution(load, echo_plugin):
    plugins, rows, _ = load()
    row = rows["echo"]
    assert (row.distribution, row.version, row.status, row.error) == ("echo", "1.0", "loaded", "")
    assert plugins.backends.from_plugin("echo") == ("echo",)


def test_the_default_plugins_all_load(load):
    _, rows, warnings = load(plugins_allow=())
    assert warnings == []
    assert {row.status for row in rows.values() if row.distribution == "olpipe"} == {"loaded"}


def test_a_plugin_that_is_not_allowed_is_not_imported(load, install):
    install("bad", "raise SystemError('was imported')")
    for settings in ({"plugins_allow": ()}, {"plugins_allow": ("other",)}, {"plugins_deny": ("bad",)}):
        _, rows, warnings = load(**settings)
        assert (rows["bad"].status, warnings) == ("disabled", [])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
        ("import a_module_that_nobody_has", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError: invalid syntax"),
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backend():\n    return []",
            "PluginError: plugin `bad` implements `register_backend`, which is no hook; did you mean `register_",
        ),
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends(settings):\n    return []",
            "PluginError: plugin `bad` is not valid: Plugin 'bad' for hook 'register_backends' hookimpl definition",
        ),
        (
            "def register_backends():\n    return []",
            "PluginError: plugin `bad` has a function `register_backends` without `@hookimpl`",
        ),
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends():\n    return ['x']",
            "PluginError: plugin `bad` registered a str where a backend is expected",
        ),
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends():\n    return 1 / 0",
            "ZeroDivisionError: division by zero",
        ),
        (WORKING.format(name=""), "PluginError: plugin `bad` registered a backend without a `name`"),
    ],
)
def test_a_broken_plugin_is_one_warning_and_a_row_and_the_others_work(load, install, echo_plugin, source, error):
    install("bad", source)
    plugins, rows, warnings = load()
    assert rows["bad"].status == "failed"
    assert rows["bad"].error.startswith(error)
    assert "\n" not in rows["bad"].error
    assert warnings == [f"plugin `bad` could not be loaded: {rows['bad'].error}"]
    assert plugins.backends.from_plugin("bad") == ()
    assert plugins.backends.from_plugin("echo") == ("echo",)


def test_a_plugin_is_registered_whole_or_not_at_all(load, install, echo_plugin):
    half = WORKING.format(name="half") + "\n@hookimpl\ndef register_sinks():\n    return [Other()]\n"
    install("half", half)
    plugins, rows, _ = load()
    assert rows["half"].error == "PluginError: plugin `half` registered a Other where a sink is expected"
    assert "half" not in plugins.backends


def test_of_two_plugins_that_bring_the_same_name_the_second_fails(load, install, echo_plugin):
    install("second", WORKING.format(name="echo"))
    plugins, rows, _ = load()
    assert rows["second"].error == "PluginError: plugins `echo` and `second` both register the backend `echo`"
    assert plugins.backends.from_plugin("echo") == ("echo",)


def test_a_plugin_that_calls_itself_like_a_default_one_harms_nobody(load, install):
    install("tasks.photo", WORKING.format(name="x"))
    plugins, _, warnings = load()
    assert warnings == ["plugin `tasks.photo` could not be loaded: PluginError: plugin `tasks.photo` is there twice"]
    assert plugins.tasks.from_plugin("tasks.photo") == ("photo",)


def test_a_module_that_is_announced_twice_is_loaded_once(load, plugin_folder, echo_plugin):
    install_plugin(plugin_folder, "echo-again", "olpipe.testing.echo")
    plugins, rows, _ = load()
    assert rows["echo-again"].error == "PluginError: plugin `echo-again` is there twice"
    assert plugins.backends.from_plugin("echo") == ("echo",)


def test_adding_a_module_twice_raises():
    class Module:
        __name__ = "module"

    plugins = Plugins()
    plugins.add(Module, "mine")
    with pytest.raises(PluginError, match="plugin `mine` is there twice"):
        plugins.add(Module, "mine")


def invoke(*arguments: str):
    return CliRunner().invoke(cli, ["plugins", *arguments], catch_exceptions=False)


def test_the_command_lists_default_and_installed_plugins_with_what_they_bring(echo_plugin):
    lines = invoke().stdout.splitlines()
    assert lines[0].split() == ["NAME", "DISTRIBUTION", "VERSION", "STATUS", "BRINGS"]
    assert lines[1].split() == ["onnx", "olpipe", "0.1.0", "loaded", "backend", "onnx"]
    assert lines[2].split() == ["ort_genai", "olpipe", "0.1.0", "loaded", "backend", "ort-genai"]
    assert ["echo", "echo", "1.0", "loaded", "backend", "echo"] in [line.split() for line in lines]


def test_the_command_says_why_a_plugin_failed_and_still_succeeds(install):
    install("bad", "raise RuntimeError('no luck')")
    result = invoke()
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["bad", "bad", "1.0", "failed", "RuntimeError:", "no", "luck"] in rows


def test_the_command_writes_json(echo_plugin):
    rows = {row["name"]: row for row in json.loads(invoke("--json").stdout)}
    assert rows["echo"] == {
        "name": "echo",
        "distribution": "echo",
        "version": "1.0",
        "status": "loaded",
        "error": "",
        "brings": {"backend": ["echo"]},
    }


def test_a_plugin_of_commands_only_is_listed_without_being_imported(plugin_folder):
    install_plugin(plugin_folder, "shouting", None, commands={"shout": "a_module_that_nobody_has"})
    rows = {row["name"]: row for row in json.loads(invoke("--json").stdout)}
    assert (rows["shouting"]["status"], rows["shouting"]["brings"]) == ("on demand", {"command": ["shout"]})


def test_commands_of_a_distribution_are_listed_while_one_of_its_plugins_is_let_in(plugin_folder, monkeypatch):
    install_plugin(plugin_folder, "two", "olpipe.testing.echo", commands={"say": "a_module_that_nobody_has"})
    entries = plugin_folder / "two-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text().replace("[olpipe]", "[olpipe]\none = a_module_that_nobody_has"))
    monkeypatch.setenv("OLPIPE_DISABLE_PLUGINS", "one")
    rows = {row["name"]: (row["status"], row["brings"]) for row in json.loads(invoke("--json").stdout)}
    assert rows["one"] == ("disabled", {})
    assert rows["two"] == ("loaded", {"backend": ["echo"], "command": ["say"]})


@pytest.mark.parametrize(("setting", "value"), [("OLPIPE_PLUGINS", ""), ("OLPIPE_DISABLE_PLUGINS", "shouting,words")])
def test_plugins_that_are_kept_out_are_listed_as_disabled_and_bring_nothing(plugin_folder, monkeypatch, setting, value):
    install_plugin(plugin_folder, "shouting", None, commands={"shout": "a_module_that_nobody_has"})
    install_plugin(plugin_folder, "words", "a_module_that_nobody_has", commands={"say": "a_module_that_nobody_has"})
    monkeypatch.setenv(setting, value)
    rows = {row["name"]: (row["status"], row["brings"]) for row in json.loads(invoke("--json").stdout)}
    assert rows["shouting"] == rows["words"] == ("disabled", {})
