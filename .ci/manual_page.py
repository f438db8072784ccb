"""The manual page `olpipe.1`, made from the commands and the settings as they are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields

import click

from olpipe import __version__
from olpipe.cli.environment import variables
from olpipe.cli.group import ALIASES, COMMANDS
from olpipe.cli.main import cli
from olpipe.cli.usage_errors import value_name
from olpipe.settings import Settings

EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "the command, a recipe or a setting is wrong",
    3: "some photos have no record; `failures.jsonl` says why",
    4: "the machine failed: runtime gone, disk full, output busy, queue full",
    130: "interrupted",
}
FILES = {
    "~/.olpipe/config.toml": "Settings, by their names in lower case and without a prefix: `threads = 4`.",
    "~/.olpipe/models": "The models.",
    "~/.olpipe/cache": "What can be made again at any time. It may be removed while olpipe does not run.",
}
EXAMPLES = {
    "Describe a folder of photos:": "olpipe batch photos -o out",
    "Ask a model about a photo:": 'olpipe run photo-mini "what is in cat.jpg?"',
    "Talk with a model:": "olpipe run photo-mini",
    "Answer over HTTP, as Ollama does:": "olpipe serve",
}

# What roff takes for something else, or shows as another character
_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
_CODE = re.compile(r"`([^`]+)`")


def manual_page() -> Iterator[str]:
    """Write the page."""
    yield f'.TH OLPIPE 1 "" "olpipe {__version__}" "User Commands"'
    yield from (".nh", ".ad l")  # neither cut words nor stretch lines
    yield from (".SH NAME", rf"olpipe \- {escaped('run vision-language models on your own machine')}")
    yield from (".SH SYNOPSIS", r"\fBolpipe\fR [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield from (".SH DESCRIPTION", marked(cli.help or ""))
    yield from (".SH OPTIONS", *_options(cli))
    yield ".SH COMMANDS"
    context = click.Context(cli, info_name="olpipe")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield from _command(f"olpipe {name}", command)
        if isinstance(command, click.Group):
            for within, one in command.commands.items():
                yield from _command(f"olpipe {name} {within}", one)
        yield from (line for alias, known in ALIASES.items() if known == name for line in _also(alias))
        if names := ", ".join(f"`{variable}`" for variable in variables(name)):
            yield from _paragraphs(f"Environment: {names}.")
    yield from (".SH EXIT STATUS", *_rows({str(code): meaning for code, meaning in EXIT_CODES.items()}))
    yield from (".SH ENVIRONMENT", marked("`olpipe env` shows the value of each, and where it comes from."))
    yield from _rows({setting.metadata["env"]: setting.metadata["help"] for setting in fields(Settings)})
    yield from (".SH FILES", *_rows(FILES))
    yield ".SH EXAMPLES"
    for meaning, line in EXAMPLES.items():
        yield from (".TP", marked(meaning), rf"\fB{escaped(line)}\fR")


def escaped(text: str) -> str:
    """Return a text that roff shows as it is."""
    shown = "".join(_SPECIAL.get(letter, letter) for letter in text)
    return rf"\&{shown}" if shown.startswith(".") else shown


def marked(text: str) -> str:
    """Return a text of ours in one line, with what stands between backticks in bold letters."""
    *pairs, last = _pieces(" ".join(text.split()))
    line = "".join(rf"{escaped(before)}\fB{escaped(code)}\fR" for before, code in pairs) + escaped(last[0])
    return rf"\&{line}" if line.startswith(".") else line


def _pieces(text: str) -> list[tuple[str, str]]:
    """Cut a text into pairs: what stands before a code, and the code. The last one has no code."""
    parts = _CODE.split(text)
    return [*zip(parts[:-1:2], parts[1::2], strict=True), (parts[-1], "")]


def _command(name: str, command: click.Command) -> Iterator[str]:
    """Write the part on a command."""
    arguments = []
    for given in command.params:
        if isinstance(given, click.Argument):
            shown = given.metavar or (given.name or "").upper() + ("..." if given.nargs == -1 else "")
            value = rf"\fI{escaped(shown)}\fR"
            arguments.append(value if given.required else f"[{value}]")
    yield f".SS {name}"
    if not isinstance(command, click.Group):
        yield " ".join([rf"\fB{escaped(name)}\fR", r"[\fIOPTIONS\fR]", *arguments])
        yield from _paragraphs(command.help or "")
        yield from _options(command)
    else:
        yield from (marked(command.help or ""), *_paragraphs("It has these commands:"))


def _also(alias: str) -> Iterator[str]:
    yield from _paragraphs(f"Also as `olpipe {alias}`.")


def _options(command: click.Command) -> Iterator[str]:
    for given in command.get_params(click.Context(command, help_option_names=["-h", "--help"])):
        if isinstance(given, click.Option):
            names = ", ".join(rf"\fB{escaped(name)}\fR" for name in given.opts)
            value = "" if given.is_flag else rf" \fI{escaped(value_name(given))}\fR"
            yield from (".TP", names + value, marked(given.help or ""))


def _rows(rows: dict[str, str]) -> Iterator[str]:
    for name, meaning in rows.items():
        yield from (".TP", rf"\fB{escaped(name)}\fR", marked(meaning))


def _paragraphs(text: str) -> Iterator[str]:
    """Write paragraphs. Lines behind a backspace stay as they are, as click has it."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        first, *lines = paragraph.splitlines()
        if first == "\b":
            yield from _lines(lines)
        else:
            yield from (".PP", marked(paragraph))


def _lines(lines: list[str]) -> Iterator[str]:
    yield from (".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE")
