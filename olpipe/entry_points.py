"""What installed distributions announce, read without importing any of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGINS = "olpipe"
COMMANDS = "olpipe.commands"


def installed(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, sorted by name. Where several have one name, the first of them counts."""
    return [found[0] for found in by_name(group).values()]


def by_name(group: str) -> dict[str, list[EntryPoint]]:
    """Return all entry points of a group by name, sorted; those of one name are sorted by their distributions."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=group):
        found.setdefault(entry_point.name, []).append(entry_point)
    return {name: sorted(found[name], key=distribution) for name in sorted(found)}


def distribution(entry_point: EntryPoint) -> str:
    """Return the name of the distribution that announces an entry point; empty where that is not known."""
    return entry_point.dist.name if entry_point.dist else ""


def names(group: str) -> list[str]:
    """Return only the names of a group's entry points, sorted.

    `importlib.metadata` takes as long to import as click, and `olpipe --help` needs only names. So this function
    looks into the folders of the module path, where installers put metadata. It does not see a distribution in a zip
    file: `installed` finds its commands, but the help does not list them.
    """
    projects: set[str] = set()
    found: set[str] = set()
    for folder in sys.path:
        for project, path in _metadata(folder or os.curdir):
            if project not in projects:  # the first one on the path hides later ones with the same name
                projects.add(project)
                found.update(_names(path, group))
    return sorted(found)


def _metadata(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the project and the entry-points file of every distribution in a folder."""
    try:
        entries = os.listdir(folder)
    except OSError:  # a path that is a zip file, or that is not there
        return
    for entry in sorted(entries):
        stem, suffix = os.path.splitext(entry)
        if suffix in (".dist-info", ".egg-info"):
            project = stem.partition("-")[0].lower().replace(".", "_")
            yield project, os.path.join(folder, entry, "entry_points.txt")


def _names(path: str, group: str) -> Iterator[str]:
    """Yield the names under a group's heading of one file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:  # most distributions announce nothing
        return
    heading = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            heading = line.strip("[]")
        elif heading == group and "=" in line and not line.startswith("#"):
            yield line.partition("=")[0].strip()
