"""Make a module a plugin without making a distribution: for tests of plugins."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from olpipe.entry_points import COMMANDS, PLUGINS


def install_plugin(folder: Path, name: str, module: str | None, *, commands: Mapping[str, str] | None = None) -> None:
    """Write what an installer would: the metadata of a distribution that announces a plugin.

    Every process that has `folder` on its module path then finds the plugin like an installed one.

    Args:
        folder: A folder that is or will be on the module path.
        name: The plugin's and the distribution's name.
        module: The module to load; None for a plugin that only brings commands.
        commands: Modules that bring commands, by the command's name.
    """
    _write(folder, name, {PLUGINS: {name: module} if module else {}, COMMANDS: dict(commands or {})})


def install_project(folder: Path, project: Path) -> str:
    """Write what an installer would, as a project's `pyproject.toml` says.

    Args:
        folder: A folder that is or will be on the module path.
        project: The folder with `pyproject.toml`. Its modules must be on the module path, too.

    Returns:
        The plugin's name: that of its first entry point.
    """
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points: Mapping[str, Mapping[str, str]] = described["entry-points"]
    _write(folder, described["name"], {group: points.get(group, {}) for group in (PLUGINS, COMMANDS)})
    return next(iter(points[PLUGINS]))


def _write(folder: Path, name: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = [line for group, entries in groups.items() for line in _section(group, entries)]
    (metadata / "entry_points.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    importlib.invalidate_caches()


def _section(group: str, entries: Mapping[str, str]) -> list[str]:
    return [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())] if entries else []
