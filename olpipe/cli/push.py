"""`olpipe push`: send a model to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.cli.inventory.choosing import models_of

if TYPE_CHECKING:
    from olpipe.cli.app import App


@click.command()
@click.argument("model")
@click.option("--insecure", is_flag=True, help="Send it over plain HTTP, which others can read and change.")
@click.option("--json", "as_json", is_flag=True, help="Write each step as a line of JSON.")
@click.pass_obj
def push(app: App, model: str, insecure: bool, as_json: bool) -> None:
    """Send MODEL to a registry, from where others can pull it. Where a server runs, it sends its own model.

    The name says where it goes: `HOST/NAMESPACE/MODEL:TAG` goes to the registry at HOST. Give a model that is called
    otherwise such a name first, with `olpipe cp`. What the registry has already is not sent again.

    A user name and a password come from Docker's `config.json`, into which `docker login` writes them.
    Ollama's own registry knows you by Ollama's key, which OLPIPE_REGISTRY_KEY names. That needs the extra `sign`.
    """
    from olpipe.cli.transfer_steps import showing
    from olpipe.model import ModelName

    name = str(ModelName.parse(model))
    with showing(f"pushing `{name}`", name, as_json=as_json) as tell:
        found = models_of(app).push(model, tell, insecure=insecure)
    if not as_json:
        click.echo("success", err=True)
        click.echo(f"You can find your model at:\n\n\t{found}", err=True)
