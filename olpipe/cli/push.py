"""`olpipe push`: send a model to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from olpipe.cli.app import App


@click.command()
@click.argument("model")
@click.option("--insecure", is_flag=True, help="Send it over plain HTTP, which others can read and change.")
@click.pass_obj
def push(app: App, model: str, insecure: bool) -> None:
    """Send MODEL to a registry, from where others can pull it.

    The name says where it goes: `HOST/NAMESPACE/MODEL:TAG` goes to the registry at HOST. Give a model that is called
    otherwise such a name first, with `olpipe cp`. What the registry has already is not sent again.

    A user name and a password come from Docker's `config.json`, into which `docker login` writes them.
    """
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.push import find_target
    from olpipe.store.push import push as push_model

    name = app.library.describe(ModelName.parse(model)).name
    target = find_target(name, app.plugins, insecure=insecure)
    with shown(f"pushing `{name}`") as display:
        push_model(target, name, app.library, app.plugins, progress=display)
    click.echo("success", err=True)
    click.echo(f"You can find your model at:\n\n\t{name}", err=True)
