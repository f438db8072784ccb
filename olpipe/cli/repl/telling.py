"""Say what went wrong, while the session goes on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from olpipe.cli.faults import fault_of
from olpipe.errors import OlpipeError
from olpipe.settings import debugging


@contextmanager
def told() -> Iterator[None]:
    """Tell what goes wrong in a block on stderr, as every command does it. Only Ctrl-C and the like come out."""
    try:
        yield
    except OlpipeError as error:
        _tell(error)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
    except Exception as error:  # noqa: BLE001 - a fault of ours must not end a conversation
        _tell(fault_of(error))


def _tell(error: OlpipeError) -> None:
    if debugging():
        traceback.print_exc()
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
