"""Commands that plugins bring: listed, run, and kept out by the settings that keep their plugins out."""

import subprocess
import sys

import pytest

from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]

SHOUT = """
import click
from olpipe.hookspecs import hookimpl

@click.command()
@click.argument("words", nargs=-1)
def shout(words):
    click.echo(" ".join(words).upper())

@hookimpl
def register_commands(cli):
    cli.add_command(shout)
"""


def olpipe(*arguments):
    ended = subprocess.run([sys.executable, "-P", "-m", "olpipe", *arguments], capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def listed():
    code, shown, said = olpipe("--help")
    assert (code, said) == (0, "")
    commands = shown.partition("Commands:\n")[2].splitlines()
    assert any(line.split()[0] == "batch" for line in commands)
    return [line.split()[0] for line in commands if line.endswith("  from a plugin")]


@pytest.fixture
def shouting(plugin_folder):
    """Install a plugin that brings a command and a module, another that brings a command only."""
    (plugin_folder / "shouting.py").write_text(SHOUT)
    (plugin_folder / "whispering.py").write_text(SHOUT.replace("shout", "whisper").replace("upper", "lower"))
    install_plugin(plugin_folder, "loud", "shouting", commands={"shout": "shouting"})
    install_plugin(plugin_folder, "quiet", None, commands={"whisper": "whispering"})


def test_commands_of_plugins_are_in_the_help_and_run(shouting):
    assert listed() == ["shout", "whisper"]
    assert olpipe("shout", "hello") == (0, "HELLO\n", "")
    assert olpipe("whisper", "HELLO") == (0, "hello\n", "")


@pytest.mark.parametrize(
    ("setting", "value", "commands"),
    [
        ("OLPIPE_DISABLE_PLUGINS", "loud", ["whisper"]),
        ("OLPIPE_DISABLE_PLUGINS", "quiet", ["shout"]),
        ("OLPIPE_DISABLE_PLUGINS", "loud,quiet", []),
        ("OLPIPE_PLUGINS", "loud", ["shout"]),
        ("OLPIPE_PLUGINS", "quiet,photo-mini", ["whisper"]),
        ("OLPIPE_PLUGINS", "", []),
    ],
)
def test_commands_of_plugins_that_are_kept_out_are_neither_listed_nor_run(
    shouting, monkeypatch, setting, value, commands
):
    monkeypatch.setenv(setting, value)
    assert listed() == commands
    for name in ("shout", "whisper"):
        code, shown, said = olpipe(name, "Hello")
        if name in commands:
            assert (code, said) == (0, "")
        else:
            owner = {"shout": "loud", "whisper": "quiet"}[name]
            because = f"because the plugins of `{owner}` are disabled"
            assert (code, shown) == (2, "")
            assert said == f"error: no such command `{name}`, {because}\nhint: run `python -m olpipe --help`\n"


def test_the_config_file_keeps_plugins_out_too(shouting, isolated_home):
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text('disable_plugins = ["loud"]\n')
    assert listed() == ["whisper"]


def test_settings_that_cannot_be_read_stop_no_help(shouting, isolated_home):
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text("threads = ")
    assert listed() == []
    for command in ("list", "shout"):
        code, shown, said = olpipe(command)
        assert (code, shown) == (2, "")
        assert said.startswith(f"error: {isolated_home / 'config.toml'} is not valid TOML: ")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit('was imported')", "was imported"),
        ("raise ValueError('no luck\\nat all')", "no luck"),
        ("def register_commands(cli): pass", "`broken_commands` of `broken` brings no command"),
        (
            "import click\ndef register_commands(cli): cli.add_command(click.Command('song'))",
            "`broken_commands` of `broken` brings `song`, and not the command that its entry point names",
        ),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("", "module 'broken_commands' has no attribute 'register_commands'"),
    ],
)
def test_a_command_that_cannot_be_loaded_is_one_line_and_the_others_run(shouting, plugin_folder, source, reason):
    (plugin_folder / "broken_commands.py").write_text(source)
    install_plugin(plugin_folder, "broken", None, commands={"sing": "broken_commands"})
    assert olpipe("sing") == (1, "", f"error: the plugin command `sing` could not be loaded: {reason}\n")
    assert listed() == ["shout", "sing", "whisper"]
    assert olpipe("shout", "hello") == (0, "HELLO\n", "")
