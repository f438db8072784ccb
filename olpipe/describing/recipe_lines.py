"""Find the line of a TOML file on which a key stands. The reader of Python's own library does not tell it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADING = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_KEY})[ \t]*\]\]?")
_VALUE = re.compile(rf"[ \t]*({_KEY})[ \t]*=")
_WRONG_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


def line_of(text: str, path: Path) -> int:
    """Return the line of a key, counted from 1. Where it has none, it is the first line of what it would stand in.

    Args:
        text: A TOML file that can be read.
        path: Names of keys and places in lists, from the top of the file. An empty path is the first line.
    """
    best, line = 0, 1
    for found, number in _places(text):
        shared = _shared(found, path)
        if shared > best:
            best, line = shared, number
    return line


def wrong_line(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return the line of which the reader says that it is no TOML, and what is wrong there."""
    found = _WRONG_LINE.search(str(error))
    last = text.rstrip("\n").count("\n") + 1
    return (int(found[1]) if found and found[1] else last), _WRONG_LINE.sub("", str(error))


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path of every heading and of every key, each with its line."""
    lines = text.removeprefix("\ufeff").split("\n")
    table: Path = ()
    counts: dict[Path, int] = {}
    at = 0
    while at < len(lines):
        heading, value = _HEADING.match(lines[at]), _VALUE.match(lines[at])
        number = at + 1
        at += 1
        if heading:
            table = _resolved(_names(heading[2]), counts)
            if heading[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
        elif value:
            at = _end(lines, number - 1)
            yield (*table, *_names(value[1])), number


def _resolved(names: Path, counts: dict[Path, int]) -> Path:
    """Return the path of a heading, in which names of lists are followed by the place of their last table."""
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    return (*path, *names[-1:])


def _end(lines: list[str], start: int) -> int:
    """Return the line after a key and its value, which may be a text or a list of several lines."""
    for end in range(start + 1, len(lines)):
        try:
            tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return len(lines)


def _names(key: str) -> Path:
    """Return the names of a key with points, such as `schema.properties."a.b"`."""
    value: Any = tomllib.loads(f"{key} = 0")
    names: list[str] = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        names.append(name)
    return tuple(names)


def _shared(one: Path, other: Path) -> int:
    """Return how many steps two paths have in common at their beginning."""
    same = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        same += 1
    return same
