"""`/show`: what is known of the model, and of this session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from olpipe.cli.repl.help_command import show_help
from olpipe.cli.repl.terminal import printable

if TYPE_CHECKING:
    from olpipe.cli.repl.session import Session


def show(session: Session, given: str) -> None:
    """Show one thing.

    Raises:
        OlpipeError: The model was removed, or is damaged.
    """
    if not given:
        show_help(session, "show")
    elif given in TOPICS:
        TOPICS[given](session)
    else:
        click.echo(f"Unknown command '/show {given}'. Type /? for help", err=True)


def _info(session: Session) -> None:
    from olpipe.cli.models import show as show_model

    show_model.main(args=[session.model.full_name], obj=session.app, standalone_mode=False)
    click.echo()


def _parameters(session: Session) -> None:
    from olpipe.store.modelfile import each_parameter

    own = session.host.show(session.model).get("parameters") or "the model has none"
    click.echo("Model defined parameters:\n" + "\n".join(f"  {line}" for line in own.splitlines()))
    given = session.preferences.parameters
    if given:
        lines = [f"  {name:<30} {value}" for name, value in each_parameter(given)]
        click.echo("\nUser defined parameters:\n" + "\n".join(lines))
    click.echo()


def _system(session: Session) -> None:
    own = session.preferences.system or session.host.show(session.model).get("system", "")
    _show(own, "There is no system message.")


def _license(session: Session) -> None:
    _show(session.host.show(session.model).get("license", ""), "The model has no licence text.")


def _modelfile(session: Session) -> None:
    _show(session.host.show(session.model).get("modelfile", ""))


def _template(session: Session) -> None:
    _show(session.host.show(session.model).get("template", ""), "The model has no prompt template.")


def _show(text: str, otherwise: str = "") -> None:
    click.echo(printable(text or otherwise).rstrip("\n"))
    click.echo()


TOPICS: Mapping[str, Callable[[Session], None]] = {
    "info": _info,
    "license": _license,
    "modelfile": _modelfile,
    "parameters": _parameters,
    "system": _system,
    "template": _template,
}
