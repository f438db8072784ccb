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
    help="Perceivers, like photo-mini, that tell the model what they find in the photos.",
)

backend = click.option(
    "--backend", metavar="NAME", help="The backend that runs the model. By default, the first one that can."
)
