"""`olpipe export`: write the records of a batch again, in other formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.pipeline.export import Export


@click.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    required=True,
    metavar="SCHEME[:TARGET]",
    help="Where records go; may be repeated. TARGET is a path below OUTPUT, or what the sink understands.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what was done to stdout, as one JSON object.")
@click.pass_obj
def export(app: App, /, *, output: Path, sinks: tuple[str, ...], as_json: bool) -> None:
    """Write the records of a batch again, in other formats.

    OUTPUT is the folder that `olpipe batch` wrote to. The records come from the ledger there, so no model
    is needed, and the photos may be gone. They are those of the recipe that ran last.

    A file that olpipe did not write is not replaced. The same command again adds the records that are new.
    """
    from olpipe.pipeline.export import export_records

    done = export_records(output, sinks, app.plugins.sinks)
    if done.others:
        these = "1 record" if done.others == 1 else f"{done.others} records"
        click.echo(f"replaced: {these} of another recipe or model; the ledger of `{output}` keeps them", err=True)
    if as_json:
        click.echo(json.dumps(_described(done, output), indent=2, ensure_ascii=False))
        return
    records = "1 record" if done.records == 1 else f"{done.records} records"
    for target, written in zip(_targets(done, output), done.written, strict=True):
        click.echo(f"{records} in {target['path'] or target['target']} ({written} new)", err=True)


def _described(done: Export, output: Path) -> dict[str, Any]:
    """Return what `--json` writes."""
    return {
        "output": str(output),
        "recipe": done.run.recipe,
        "model": done.run.model,
        "records": done.records,
        "targets": _targets(done, output),
    }


def _targets(done: Export, output: Path) -> list[dict[str, Any]]:
    """Return each target, with its path where it is a file or a folder."""
    found = []
    for place, written in zip(done.places, done.written, strict=True):
        path = output / place.target
        where = str(path) if path.exists() else None
        found.append({"sink": place.scheme, "target": place.target, "path": where, "new": written})
    return found
