"""The command `olpipe colours`. Imported only when it runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from olpipe.hookspecs import hookimpl


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--tsv",
    "target",
    type=click.Path(path_type=Path),
    help="Write this file with tabs between the cells; an older one is kept beside it.",
)
def colours(images: tuple[Path, ...], target: Path | None) -> None:
    """Say which colours fill each of IMAGES: one JSON object a line."""
    rows = _rows(images)
    if target is None:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    from olpipe.interfaces import RunInfo
    from olpipe_template.tsv_sink import TsvSinkFactory

    here = Path()
    run = RunInfo(here, here, schema={}, recipe="colours", recipe_key="", model="", model_digest="")
    with closing(TsvSinkFactory().open(str(target), run)) as sink:
        sink.recover(0)
        for row in rows:
            sink.write(row)
        sink.flush()


def _rows(images: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the colours of each image, surest first."""
    from olpipe.imaging.decode import load
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings
    from olpipe_template.colours import Colours

    plugins = Plugins.load(Settings.read())
    for path in images:
        evidence = Colours().perceive(load(path, plugins.image_loaders))
        yield {"file": str(path), "colours": {label.name: round(label.score, 2) for label in evidence.tags}}


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Bring the command."""
    cli.add_command(colours)
