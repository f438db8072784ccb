"""Answer a shell that asks how a line goes on: one line for each word that fits, `KIND TAB VALUE TAB MEANING`.

A kind is `word`, `part` for the beginning of a word, or `files` and `folders`, which the shell completes itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.cli.group import COMPLETE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")

_KINDS = {"plain": "word", "part": "part", "file": "files", "dir": "folders"}


def script(shell: str) -> str:
    """Return the script that a shell reads to complete lines of olpipe."""
    return (Path(__file__).parent / f"olpipe.{shell}").read_text(encoding="utf-8")


def answer(cli: click.Command, instruction: str) -> str:
    """Return what a shell gets. Whatever is broken, it is never more than nothing: a message would stand in the line.

    Args:
        cli: The command line.
        instruction: The value of `COMPLETE`.
    """
    shell, _, wanted = instruction.partition("_")
    if shell not in SHELLS:
        return ""
    if wanted == "source":
        return script(shell)
    if wanted != "complete":
        return ""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return "".join(f"{line}\n" for line in _lines(cli))
    except (Exception, SystemExit):  # noqa: BLE001 - nobody who types can use an error
        return ""


def _lines(cli: click.Command) -> Iterator[str]:
    arguments, typed = _words(os.environ.get("COMP_WORDS", ""))
    option = typed[: typed.index("=") + 1] if typed.startswith("-") and "=" in typed else ""
    cut = _cut(typed, os.environ.get("COMP_BREAKS", ""))
    for item in _items(cli, arguments, typed):
        kind, value = _KINDS.get(item.type, "word"), f"{option}{item.value}"
        if kind in ("files", "folders"):
            value = typed
        if value.isprintable():
            yield f"{kind}\t{value[cut:]}\t{' '.join((item.help or '').split())}"


def _items(cli: click.Command, arguments: list[str], typed: str) -> list[CompletionItem[str]]:
    """Return what fits."""
    from click.shell_completion import ShellComplete

    from olpipe.cli.completion.values import MODEL_FIRST, models

    if len(arguments) == 1 and arguments[0] in MODEL_FIRST and not typed.startswith("-"):
        return models(arguments[0], typed)
    return ShellComplete(cli, {}, "olpipe", COMPLETE).get_completions(arguments, typed)


def _words(line: str) -> tuple[list[str], str]:
    """Cut a line into the words behind the program's name that are finished, and the one that is being typed."""
    from click.shell_completion import split_arg_string

    *finished, typed = split_arg_string(f"{line}|")  # the end mark keeps an empty word, and one that ends in a space
    return finished[1:], typed[:-1]


def _cut(typed: str, breaks: str) -> int:
    """Return how much of the word stays as it is in bash, which completes only what is behind its last break."""
    return max((typed.rfind(mark) + 1 for mark in breaks if not mark.isspace()), default=0)
