"""What installed distributions announce, read without importing any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGINS = "olpipe"
COMMANDS = "olpipe.commands"


def installed(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, sorted by name; of equal names the first one found."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=group):
        found.setdefault(entry_point.name, entry_point)
    return [found[name] for name in sorted(found)]
