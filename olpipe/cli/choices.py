"""Options that several commands share."""

from __future__ import annotations

import click


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Cut a list of names at its commas; None where the option was not given."""
    if value is None:
        return None
    return tuple(name.strip() for name in value.split(",") if name.strip())


perceivers = click.option(
    "--perceivers",
    "--evidence",
    "perceivers",
    metavar="NAME,...",
    callback=_names,
    help="Show the model what these perceivers see in the photos, like photo-mini.",
)

backend = click.option("--backend", metavar="NAME", help="The backend that runs the model; else the first that can.")
