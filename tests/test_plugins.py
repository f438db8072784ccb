"""Plugins: found, loaded alone, and kept from harming one another."""

import json
import sys

import pytest
from click.testing import CliRunner

from olpipe.cli.main import cli
from olpipe.errors import PluginError, UnknownName
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


def test_a_plugin_that_is_not_allowed_is_not_imported(load, install, echo_plugin):
    install("bad", "raise SystemError('was imported')")
    for settings in ({"plugins_allow": ()}, {"plugins_allow": ("echo",)}, {"plugins_deny": ("bad",)}):
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
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends():\n    pass",
            "PluginError: plugin `bad` returned nothing from `register_backends`: return a list or a tuple, "
            "`()` where there is nothing to bring",
        ),
        (
            "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends():\n    return 'x'",
            "PluginError: plugin `bad` returned one str from `register_backends`: return a list or a tuple",
        ),
        (
            WORKING.format(name="x").replace("[Other()]", "Other()"),
            "PluginError: plugin `bad` returned one Other from `register_backends`: return a list or a tuple",
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


def test_a_hook_may_make_what_it_brings_one_by_one(load, install):
    install("good", WORKING.format(name="x").replace("return [Other()]", "yield Other()"))
    plugins, _, warnings = load()
    assert (plugins.backends.from_plugin("good"), warnings) == (("x",), [])


@pytest.mark.parametrize(("denied", "way"), [((), "echo"), (("third",), "third,echo")])
def test_of_two_plugins_that_bring_the_same_name_the_second_is_dropped_in_plain_words(
    load, install, echo_plugin, denied, way
):
    install("second", WORKING.format(name="echo"))
    install("third", "raise SystemExit('was imported')")
    plugins, rows, warnings = load(plugins_deny=denied)
    both = "plugins `echo` and `second` both register the backend `echo`"
    assert rows["second"].error == f"NameTaken: {both}"
    assert warnings[0] == (
        f"plugin `second` could not be loaded: NameTaken: {both}; nothing that `second` brings can be used. "
        f"To use it, do without `echo`: OLPIPE_DISABLE_PLUGINS={way}"
    )
    assert plugins.backends.from_plugin("echo") == ("echo",)


def test_a_plugin_that_takes_the_name_of_what_ships_is_dropped_in_plain_words(load, install):
    install("second", WORKING.format(name="onnx"))
    _, _, (warning,) = load()
    assert warning == (
        "plugin `second` could not be loaded: NameTaken: plugins `onnx` and `second` both register the backend `onnx`; "
        "nothing that `second` brings can be used, because `onnx` ships with olpipe"
    )


def test_two_things_of_one_plugin_with_one_name_are_the_fault_of_the_plugin(load, install):
    install("bad", WORKING.format(name="x").replace("[Other()]", "[Other(), Other()]"))
    _, rows, (warning,) = load()
    assert rows["bad"].error == "NameTaken: plugins `bad` and `bad` both register the backend `x`"
    assert warning == f"plugin `bad` could not be loaded: {rows['bad'].error}"


def test_of_two_distributions_whose_plugins_have_one_name_the_second_is_dropped_in_plain_words(
    load, plugin_folder, echo_plugin
):
    install_plugin(plugin_folder, "zebra", "a_module_that_nobody_has")
    entries = plugin_folder / "zebra-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text().replace("zebra =", "echo ="))
    plugins, _, warnings = load()
    rows = [(row.distribution, row.status, row.error) for row in plugins.rows if row.name == "echo"]
    both = "PluginError: the distributions `echo` and `zebra` both have a plugin `echo`"
    assert rows == [("echo", "loaded", ""), ("zebra", "failed", both)]
    assert warnings == [f"plugin `echo` of `zebra` could not be loaded: {both}; uninstall one of them"]


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"plugins_allow": ("olpipe-words",)}, "OLPIPE_PLUGINS names `olpipe-words`{none}; did you mean `words`?"),
        ({"plugins_allow": ("ecko", "echo")}, "OLPIPE_PLUGINS names `ecko`{none}; did you mean `echo`?"),
        ({"plugins_allow": ("qqqqqq",)}, "OLPIPE_PLUGINS names `qqqqqq`{none}; `olpipe plugins` lists them"),
        (
            {"plugins_deny": ("olpipe_words",)},
            "OLPIPE_DISABLE_PLUGINS names `olpipe_words`{none}; did you mean `words`?",
        ),
        ({"plugins_deny": ("onnx",)}, "OLPIPE_DISABLE_PLUGINS names `onnx`, which ships with olpipe and always stays"),
        ({"plugins_allow": ("words", "echo", "shouting"), "plugins_deny": ("words",)}, None),
        ({"plugins_allow": ("onnx", "tasks.photo")}, None),
    ],
)
def test_a_setting_that_names_no_plugin_is_a_warning_with_the_nearest_name(
    load, plugin_folder, echo_plugin, settings, warning
):
    install_plugin(plugin_folder, "olpipe-words", "olpipe.testing.images")
    entries = plugin_folder / "olpipe_words-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text().replace("olpipe-words =", "words ="))
    install_plugin(plugin_folder, "shouting", None, commands={"shout": "a_module_that_nobody_has"})
    _, _, warnings = load(**settings)
    expected = [] if warning is None else [warning.format(none=", and no installed plugin is called that")]
    assert warnings == expected


def test_plugins_that_are_not_loaded_are_told_where_something_is_missing(load, install, echo_plugin):
    install("bad", "raise RuntimeError('no luck')")
    plugins, rows, _ = load(plugins_deny=("echo",))
    others = [row for row in rows.values() if row.status != "loaded"]
    assert {row.name for row in others} == {"bad", "echo"}
    assert plugins.not_loaded == "; not loaded: `bad` (failed), `echo` (disabled)"
    with pytest.raises(UnknownName) as caught:
        plugins.backends.get("zzzzz")
    assert caught.value.hint == "known: onnx, ort-genai; not loaded: `bad` (failed), `echo` (disabled)"


def test_where_every_plugin_is_loaded_nothing_is_said_of_it(load, echo_plugin):
    assert load()[0].not_loaded == ""


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


SOURCE = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource

class Toys(ModelSource):
    scheme = "toys"
    hosts = ("toys.example", "toys.test")
    def names(self):
        return {names}
    def default_name(self, reference):
        raise AssertionError("it is never asked to")
    def pull(self, reference, name, store, progress):
        raise AssertionError("it is never asked to")

@hookimpl
def register_model_sources():
    return [Toys()]
"""


def test_the_command_lists_announced_names_and_claimed_hosts(install):
    install("toys", SOURCE.format(names='("haiku", "toys.example/poems/errors:v2")'))
    brings = {
        "model source": ["toys"],
        "host": ["toys.example", "toys.test"],
        "model": ["haiku", "toys.example/poems/errors:v2"],
    }
    assert {row["name"]: row["brings"] for row in json.loads(invoke("--json").stdout)}["toys"] == brings
    (line,) = [line for line in invoke().stdout.splitlines() if line.startswith("toys ")]
    said = "model source toys, host toys.example, host toys.test, model haiku, model toys.example/poems/errors:v2"
    assert line.endswith(f"loaded    {said}")


def test_a_source_whose_names_cannot_be_used_is_listed_without_them(install):
    install("toys", SOURCE.format(names="1 / 0"))
    result = invoke("--json")
    brings = {row["name"]: row["brings"] for row in json.loads(result.stdout)}["toys"]
    assert brings == {"model source": ["toys"], "host": ["toys.example", "toys.test"]}
    said = "warning: the model source `toys` of the plugin `toys` failed: ZeroDivisionError: division by zero"
    assert result.stderr == f"{said}; the names that it announces are left out\n"


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
