"""What is set, which settings have no effect, and which plugins are not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from olpipe import entry_points
from olpipe.checkup.report import Section
from olpipe.plugins import Plugins
from olpipe.settings import Found, look_up
from olpipe.settings.ollama_variables import without_effect
from olpipe.settings.warnings import setting_warnings

HIDDEN = "********"


def check_settings(section: Section, environment: Mapping[str, str] | None = None) -> None:
    """Fill a section about settings.

    Args:
        section: The section.
        environment: The environment; this process's by default.
    """
    environment = os.environ if environment is None else environment
    chosen = [found for found in look_up(environment) if found.source != "default"]
    section.facts["set"] = [{"name": one.name, "value": _value(one), "source": one.source} for one in chosen]
    for one in chosen:
        section.add(one.name, f"{_value(one)}, from the {one.source}")
    if not chosen:
        section.add("settings", "all have their defaults")
    warnings = [*setting_warnings(_plugin_names, environment), *without_effect(environment)]
    section.facts["warnings"] = warnings
    for warning in warnings:
        section.add("no effect", warning, "note")
    if warnings:
        section.advise("olpipe env", "It lists all settings by name. Some that are set here have no effect.")


def check_plugins(section: Section, plugins: Plugins) -> None:
    """Fill a section about plugins."""
    rows = [{"name": row.name, "status": row.status, "error": row.error or None} for row in plugins.rows]
    section.facts["plugins"] = rows
    others = [row for row in plugins.rows if row.distribution != "olpipe"]
    for row in plugins.rows:
        if row.status == "failed":
            section.add(row.name, f"could not be loaded: {row.error}", "note")
            command = f"pip install --upgrade {row.distribution}" if row in others else "olpipe plugins"
            section.advise(command, f"The plugin `{row.name}` could not be loaded. A newer version may help.")
        elif row.status == "disabled":
            section.add(row.name, f"disabled by the settings, from {row.distribution} {row.version}")
        elif row in others:
            section.add(row.name, f"loaded, from {row.distribution} {row.version}", "ok")
    if not others:
        section.add("plugins", "only those that ship with olpipe")


def _value(found: Found) -> str:
    """Return a value as a text. A secret is hidden."""
    if found.setting.metadata["secret"]:
        return HIDDEN
    value: Any = found.value
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "empty"


def _plugin_names() -> set[str]:
    """Return what installed plugins are called: their own names, and those of the distributions that bring them."""
    groups = (entry_points.PLUGINS, entry_points.COMMANDS)
    found = [entry_point for group in groups for entry_point in entry_points.installed(group)]
    return {name for one in found for name in (one.name, entry_points.distribution(one)) if name}
