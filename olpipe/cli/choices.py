"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from olpipe.sessions import DEVICES

if TYPE_CHECKING:
    from olpipe.model import LoadOptions

Command = Callable[..., Any]


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

_LOADING = (
    click.option(
        "--backend", metavar="NAME", help="The backend that runs the model. By default, the first one that can."
    ),
    click.option(
        "--image-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Most tokens that one image becomes, for a model that sees. By default, the model's usual number.",
    ),
    click.option(
        "--device",
        type=click.Choice(list(DEVICES)),
        metavar="|".join(DEVICES),
        help="What computes. By default, the backend chooses.",
    ),
)


def loading(command: Command) -> Command:
    """Give a command the options that say how the model is loaded: `backend`, `image_tokens`, `device`."""
    for option in reversed(_LOADING):
        command = option(command)
    return command


def load_options(given: dict[str, Any], *, slots: int) -> LoadOptions:
    """Take the options that `loading` gave to a command out of its arguments.

    Args:
        given: The arguments by name. The three are removed.
        slots: Most sequences to decode side by side.
    """
    from olpipe.model import LoadOptions

    values = {name: given.pop(name) for name in ("backend", "image_tokens", "device")}
    return LoadOptions(slots=slots, **{name: value for name, value in values.items() if value is not None})
