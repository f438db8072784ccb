"""Warn of settings that have no effect: names that are none, and values that cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from olpipe.errors import nearest
from olpipe.settings import Settings
from olpipe.settings.config_file import CONFIG_NAME, home_in, key_of, read_config


def setting_warnings(plugins: Callable[[], Collection[str]], environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each variable and each entry of the config file that has no effect.

    Variables `OLLAMA_…` that are no setting cause none, because Ollama's clients have some of their own.

    Args:
        plugins: Returns the names of the installed plugins. The config file may have a section for each. It is called
            only where the file has sections.
        environment: The environment; this process's by default.

    Raises:
        UsageError: The config file cannot be read.
    """
    environment = os.environ if environment is None else environment
    names = {setting.metadata["key"]: setting.metadata["env"] for setting in fields(Settings)}
    return [
        *_no_values(environment),
        *_no_variables(environment, names),
        *_no_entries(home_in(environment) / CONFIG_NAME, names, plugins),
    ]


def _no_values(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable `OLLAMA_…` whose value counts as not set."""
    for setting in fields(Settings):
        name, text = setting.metadata["env"], environment.get(setting.metadata["env"], "")
        if not name.startswith("OLLAMA_") or not text.strip():
            continue
        try:
            setting.metadata["parse"](text)
        except ValueError as error:
            yield f"{name} cannot be `{text}`, so it has no effect: it {error}"


def _no_variables(environment: Mapping[str, str], names: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environment):
        if name.startswith("OLPIPE_") and name not in names.values():
            close = [names[key] for key in nearest(key_of(name), names)]  # `OLPIPE_NUM_PARALLEL` has the wrong prefix
            yield f"{name} is set, and there is no such setting{_offer(close)}"


def _no_entries(path: Path, names: Collection[str], plugins: Callable[[], Collection[str]]) -> Iterator[str]:
    table = read_config(path)
    for key, value in table.items():
        if isinstance(value, dict) and (warning := _no_section(key, value, path, names, plugins())):
            yield warning
    for key, value in table.items():
        if key == "home":
            yield f"`home` in {path} has no effect, because the file lies in that folder; set OLPIPE_HOME"
        elif key not in names and not isinstance(value, dict):
            close = nearest(key_of(key) if key.lower().startswith(("olpipe_", "ollama_")) else key, names)
            yield f"`{key}` in {path} is not a setting{_offer(close)}"


def _no_section(
    key: str, section: Mapping[str, Any], path: Path, names: Collection[str], plugins: Collection[str]
) -> str:
    """Return a warning for a section of the config file; empty where it is a plugin's."""
    if key in plugins:
        return ""
    if any(inside in names for inside in section):
        return f"the settings in `[{key}]` of {path} have no effect: write them above all sections"
    return f"`[{key}]` in {path} is the section of no installed plugin{_offer(nearest(key, plugins))}"


def _offer(names: Iterable[str]) -> str:
    meant = " or ".join(f"`{name}`" for name in names)
    return f"; did you mean {meant}?" if meant else ""
