"""Make a module a plugin without building a distribution: for tests of plugins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from olpipe.entry_points import COMMANDS, PLUGINS


def install_plugin(folder: Path, name: str, module: str | None, *, commands: Mapping[str, str] | None = None) -> None:
    """Write what an installer would: the metadata of a distribution that announces a plugin.

    Every process that has `folder` on its module path then finds the plugin as an installed one.

    Args:
        folder: A folder on the module path, or that will be.
        name: The plugin's and the distribution's name.
        module: The module to load; None for a plugin that only brings commands.
        commands: Modules that bring commands, by the command's name.
    """
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    groups = {PLUGINS: {name: module} if module else {}, COMMANDS: dict(commands or {})}
    lines = [line for group, entries in groups.items() for line in _section(group, entries)]
    (metadata / "entry_points.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    importlib.invalidate_caches()


def _section(group: str, entries: Mapping[str, str]) -> list[str]:
    return [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())] if entries else []
