"""`olpipe env`: all settings with their values, and where each comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.settings import Found

HIDDEN = "********"
"""Stands for a value that nobody should read over a shoulder."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
def env(as_json: bool) -> None:
    """List all settings, and where each comes from: the environment, the config file, or its default.

    Secrets are hidden. At the end, it names the variables of Ollama that are set but have no effect here.
    """
    from olpipe.settings import look_up
    from olpipe.settings.ollama_variables import without_effect

    found = list(look_up())
    if as_json:
        click.echo(json.dumps([_row(one) for one in found], indent=2, ensure_ascii=False))
    else:
        rows = [(one.name, _text(_shown(one)), one.source) for one in found]
        click.echo(words.table([("NAME", "VALUE", "SOURCE"), *rows]))
    for sentence in without_effect(os.environ):
        click.echo(f"note: {sentence}", err=True)


def _row(found: Found) -> Mapping[str, Any]:
    return {
        "name": found.name,
        "value": _shown(found),
        "source": found.source,
        "meaning": found.setting.metadata["help"],
    }


def _shown(found: Found) -> Any:
    """Return a value as JSON has it. A secret is hidden."""
    value = found.value
    if found.setting.metadata["secret"] and value is not None:
        return HIDDEN if isinstance(value, str) else [HIDDEN] * len(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return list(value) if isinstance(value, tuple) else str(value.expanduser() if isinstance(value, Path) else value)


def _text(value: Any) -> str:
    """Return a value as the environment would hold it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
