"""The manual page: made from the commands, and without a mistake that `man` or mandoc would find."""

import re
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest

from olpipe.cli.group import COMMANDS
from olpipe.cli.main import cli
from olpipe.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/man/olpipe.1"

needs_man = pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
needs_mandoc = pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")


def plain(page):
    """Return what `mandoc` shows of a page, without the marks of bold letters."""
    command = ["mandoc", "-Tutf8", "-Owidth=300"]
    ended = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
    return re.sub(".\b", "", ended.stdout)


@pytest.fixture
def manual_page(monkeypatch):
    """The module that writes the page."""
    monkeypatch.syspath_prepend(ROOT / ".ci")
    import manual_page

    return manual_page


@pytest.fixture(scope="module")
def shown():
    """Return what `mandoc` shows of the page, in one line."""
    return " ".join(plain(PAGE.read_text(encoding="utf-8")).split())


@needs_man
def test_man_finds_no_mistake_in_the_page():
    ended = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Z", PAGE], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""


@needs_mandoc
def test_mandoc_finds_no_mistake_in_the_page():
    ended = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True)
    found = [line for line in ended.stdout.splitlines() if "missing date" not in line]  # a version may have none yet
    assert found == []


@needs_mandoc
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_its_options(shown, name):
    command = cli.get_command(click.Context(cli), name)
    begins = f" olpipe {name} " if isinstance(command, click.Group) else f" olpipe {name} olpipe {name} [OPTIONS]"
    (*_, part) = shown.partition(begins)
    assert part
    for within in command.commands if isinstance(command, click.Group) else ():
        assert f" olpipe {name} {within} olpipe {name} {within} [OPTIONS]" in part
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"{', '.join(option.opts)} " in part


@needs_mandoc
def test_every_setting_is_explained(shown):
    (*_, part) = shown.partition(" ENVIRONMENT ")
    assert [one.metadata["env"] for one in fields(Settings) if f" {one.metadata['env']} " not in part] == []


@needs_mandoc
def test_every_character_is_shown_as_it_was_written(manual_page):
    text = """.TH 'a' "b" \\n \\fB -x --yes ^ ~ ... `code - 'it'` and ` alone"""
    page = f".TH X 1\n.SH NAME\nx\n.SH TEXT\n{manual_page.marked(text)}\n.br\n{manual_page.escaped(chr(39) + 'end')}\n"
    lines = [line.strip() for line in plain(page).partition("TEXT")[2].splitlines() if line.strip()]
    assert lines[:2] == [text.replace("`code - 'it'`", "code - 'it'"), "'end"]


def test_what_the_package_brings_for_man_and_shells_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    build = project["tool"]["hatch"]["build"]["targets"]
    shared = build["wheel"]["shared-data"]
    assert {Path(target).parts[1] for target in shared.values()} == {"man", "bash-completion", "zsh", "fish"}
    for source in shared:
        assert (ROOT / source).is_file()
        assert any(
            Path(source).is_relative_to(kept) for kept in build["sdist"]["only-include"]
        )  # wheels are made of it
