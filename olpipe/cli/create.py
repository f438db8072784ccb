"""`olpipe create`: make a model as a Modelfile says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.store.modelfile_recipe import Recipe

_STDIN = "-"
_USUAL = "Modelfile"


@click.command()
@click.argument("model")
@click.option(
    "-f", "--file", "path", metavar="PATH", help="The Modelfile; `-` reads it from stdin. Usually: Modelfile."
)
@click.option(
    "-q", "--quantize", default="", metavar="PRECISION", help="Store the weights as finely as this: q4_K_M, q8_0, …"
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object for each step.")
@click.pass_obj
def create(app: App, model: str, path: str | None, quantize: str, as_json: bool) -> None:
    """Make MODEL as a Modelfile says: from a model or from files, with texts and parameters of its own.

    The Modelfile is the file `Modelfile` in this folder, unless `--file` names another one. Its paths begin at its own
    folder. A model that it is made from and that is not here is pulled first. Where a server runs, the server makes the
    model, and is sent the files that it lacks.
    """
    from olpipe.cli.creating import Wanted, create_here, create_there
    from olpipe.cli.steps import steps_shown
    from olpipe.interfaces import Progress
    from olpipe.model import ModelName
    from olpipe.store.create import precision_of

    name = ModelName.parse(model)
    precision_of(quantize)
    recipe, folder = _read(path)
    wanted = Wanted.of(name, recipe, folder, quantize)
    with steps_shown(as_json=as_json) as steps:
        steps(Progress("gathering model components"))
        if (server := app.server) is not None:
            with server:
                create_there(wanted, server, steps)
        else:
            create_here(wanted, app.library, app.plugins, steps)
            steps(Progress("success"))


def _read(path: str | None) -> tuple[Recipe, Path]:
    """Return what the Modelfile asks for, and the folder at which its paths begin.

    Raises:
        UsageError: There is no such file, or it is not a Modelfile.
    """
    from olpipe.store.manifest import MAX_BYTES
    from olpipe.store.modelfile_recipe import read_recipe

    file = Path(path or _USUAL).expanduser()
    shown = "stdin" if path == _STDIN else f"`{file}`"
    try:
        if path == _STDIN:
            data, folder = sys.stdin.buffer.read(2 * MAX_BYTES + 1), Path()
        else:
            with file.open("rb") as opened:
                data, folder = opened.read(2 * MAX_BYTES + 1), file.parent
    except FileNotFoundError as error:
        hint = "name it with `--file`" if path is None else "name a file that exists"
        raise UsageError(f"there is no {shown}", hint=f"{hint}, or read it from stdin with `--file -`") from error
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}", hint="name a Modelfile") from error
    if len(data) > 2 * MAX_BYTES:
        raise UsageError(f"{shown} has more than {2 * MAX_BYTES} bytes", hint="name a Modelfile, which is a text")
    try:
        return read_recipe(data), folder.absolute()
    except UsageError as error:
        raise UsageError(f"{shown}: {error.message}", hint=error.hint) from error
