"""`olpipe plugins`: which plugins are installed, whether they could be loaded, and what they bring."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.plugins import PluginRow, Plugins
    from olpipe.settings import Settings

Brings = dict[str, list[str]]
"""Names by kind, as the registries call the kinds: `{"sink": ["csv"]}`."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
@click.pass_obj
def plugins(app: App, as_json: bool) -> None:
    """List plugins and what they bring: first those that ship with olpipe, then installed ones.

    BRINGS also names the hosts that a model source claims, and the models that it announces.
    """
    rows = _described(app.plugins, app.settings)
    if as_json:
        listed = [asdict(row) | {"brings": brings} for row, brings in rows]
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    table = [("NAME", "DISTRIBUTION", "VERSION", "STATUS", "BRINGS")]
    for row, brings in rows:
        what = row.error or ", ".join(f"{kind} {name}" for kind, names in brings.items() for name in names)
        table.append((row.name, row.distribution, row.version, row.status, what))
    click.echo(words.table(table, columns=words.screen_columns()))


def _described(loaded: Plugins, settings: Settings) -> list[tuple[PluginRow, Brings]]:
    """Return every plugin with what it brings. A plugin that brings only commands is not loaded for this."""
    from olpipe.plugins import PluginRow

    commands = _commands()
    rows: list[tuple[PluginRow, Brings]] = []
    for row in loaded.rows:
        brings = _brought(row, loaded)
        brings["command"] = [] if row.status == "disabled" else commands.pop((row.distribution, row.version), [])
        rows.append((row, {kind: names for kind, names in brings.items() if names}))
    listed = {(row.distribution, row.version) for row in loaded.rows}
    for (distribution, version), names in commands.items():
        if (distribution, version) in listed:
            continue  # commands of a plugin that is listed as disabled
        if settings.lets_in(distribution):
            rows.append((PluginRow(distribution, distribution, version, status="on demand"), {"command": names}))
        else:
            rows.append((PluginRow(distribution, distribution, version, status="disabled"), {}))
    return rows


def _brought(row: PluginRow, loaded: Plugins) -> Brings:
    """Return what a plugin registered, and after its sources what they offer."""
    from olpipe.store.sources import announced_by, claimed_by

    sources = loaded.model_sources
    brings: Brings = {}
    for registry in loaded.registries().values():
        brings[registry.kind] = list(registry.from_plugin(row.name)) if row.status == "loaded" else []
        if registry is sources:
            own = [sources.get(scheme) for scheme in brings[registry.kind]]
            brings["host"] = [host for source in own for host in claimed_by(source, sources)]
            brings["model"] = [name for source in own for name in announced_by(source, sources).values()]
    return brings


def _commands() -> dict[tuple[str, str], list[str]]:
    """Return the commands that each distribution and version announces."""
    from olpipe import entry_points

    found: dict[tuple[str, str], list[str]] = {}
    for entry_point in entry_points.installed(entry_points.COMMANDS):
        if entry_point.dist is not None:
            found.setdefault((entry_point.dist.name, entry_point.dist.version), []).append(entry_point.name)
    return found
