"""What Tab completes: commands, models and paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from olpipe.cli.repl.help_command import TOPICS as HELP_TOPICS
from olpipe.cli.repl.set_command import LEVELS, PARAMETERS, SETTINGS
from olpipe.cli.repl.show_command import TOPICS as SHOW_TOPICS

Models = Callable[[], Iterable[str]]

_COMMANDS = ("/set", "/show", "/load", "/save", "/clear", "/list", "/bye", "/exit", "/help", "/?")
_TAKES_MODELS = ("/load", "/save", "/list")
_AFTER: Mapping[str, Iterable[str]] = {
    "/set": SETTINGS,
    "/set parameter": PARAMETERS,
    "/set format": ("json",),
    "/set think": LEVELS,
    "/show": SHOW_TOPICS,
    "/help": HELP_TOPICS,
    "/?": HELP_TOPICS,
}
_WORD = re.compile(r"(?:\\.|[^\s\\])*\Z")
_SPECIAL = re.compile(r"([ ()\[\]{}$&;'\\*?~])")
_UNESCAPED = re.compile(r"\\(.)")


def complete(line: str, models: Models, suffixes: Collection[str]) -> tuple[str, list[str]]:
    """Complete what stands before the cursor.

    Args:
        line: The text before the cursor.
        models: Returns the names of models.
        suffixes: Lower-case suffixes of image files, with their dot.

    Returns:
        The end of the line that is completed, and what may stand in its place.
    """
    before, _, word = line.rpartition(" ")
    offered = _offered(before.strip(), line, models) if line.startswith("/") else []
    found = sorted(text for text in offered if text.startswith(word))
    return (word, found) if found else _paths(line, suffixes)


def _offered(before: str, line: str, models: Models) -> Iterable[str]:
    """Return the words that may follow some words of a command."""
    if " " not in line:
        return _COMMANDS
    return models() if before in _TAKES_MODELS else _AFTER.get(before, ())


def _paths(line: str, suffixes: Collection[str]) -> tuple[str, list[str]]:
    """Complete the path of a folder or of an image."""
    quote, typed = _last_word(line)
    folder, name = os.path.split(typed if quote else _UNESCAPED.sub(r"\1", typed))
    if not (folder or name):
        return "", []
    try:
        entries = list(os.scandir(os.path.expanduser(folder) or "."))
    except (OSError, ValueError):
        return "", []
    found = []
    for entry in entries:
        if not entry.name.startswith(name) or (entry.name.startswith(".") and not name):
            continue
        if _is_folder(entry):
            found.append(f"{entry.name}{os.sep}")
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            found.append(entry.name)
    ending = typed[len(typed) - len(name if quote else _escaped(name)) :]
    return ending, sorted(found if quote else map(_escaped, found))


def _last_word(line: str) -> tuple[str, str]:
    """Return the quote that is open at the end of a line, and the word that stands there."""
    for quote in "\"'":
        at = line.rfind(quote)
        if line.count(quote) % 2 and (at == 0 or line[at - 1].isspace()):
            return quote, line[at + 1 :]
    word = _WORD.search(line)
    return "", word.group() if word is not None else ""


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name) if os.sep == "/" else name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
