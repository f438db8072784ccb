"""`olpipe search`: which models there are, what they take, and how fast they are; or which photos have words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olpipe.cli.app import App
    from olpipe.store.search import Row

_UNKNOWN = "-"
_NOT_ITS_OWN = "*"
_MOST_MODELS, _MOST_OF_HUB = 10, 100
_MOST_PHOTOS = 20


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--hub/--no-hub",
    default=None,
    help="Ask the Hugging Face hub, too. By default, OLPIPE_SEARCH_HUB decides.",
)
@click.option("--fits", is_flag=True, help="Leave out models that need more memory than this machine has.")
@click.option(
    "--in",
    "output",
    type=click.Path(path_type=Path),
    metavar="OUTPUT",
    help="Find photos instead: those in the folder that `olpipe batch` wrote to whose records have all words.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Most models from the hub (10, at most 100), or most photos (20)."
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
@click.pass_context
def search(context: click.Context, /, *, output: Path | None, limit: int | None, **given: Any) -> None:
    """Find models by WORDS, or photos: `--in OUTPUT` searches the records of a batch.

    WORDS for models are a name, a family, a licence, or what a model does, like `vision`.

    Without WORDS, all models are shown that are known without the network: those of the catalogue, those that installed
    plugins announce, and those on this machine. SIZE is what is downloaded. MEMORY and SECONDS A PHOTO were measured;
    `olpipe search --json` says how. What is not known is left out.

    WORDS for photos may stand in tags, texts, types of objects, words that were read, and file names. Every word must
    be there, also as a part of a longer one. What fits best comes first. No match is exit code 1, as with grep.
    """
    if output is None:
        _find_models(context.obj, limit=limit or _MOST_MODELS, **given)
        return
    from olpipe.cli.search_records import find_records

    found = find_records(output, limit=limit or _MOST_PHOTOS, **given)
    if not found:
        context.exit(1)


def _find_models(app: App, *, words: tuple[str, ...], hub: bool | None, fits: bool, limit: int, as_json: bool) -> None:
    from olpipe.errors import ModelNotFound, UsageError
    from olpipe.machine import memory
    from olpipe.store.search import close_to, known, on_hubs

    if limit > _MOST_OF_HUB:
        raise UsageError(f"`--limit` is at most {_MOST_OF_HUB} for models", hint="give a smaller number")
    asks_hub = app.settings.searches_hub if hub is None else hub
    if hub and not words:
        raise UsageError("`--hub` needs something to search for", hint="for example `olpipe search --hub smolvlm`")
    here = known(app.library, app.plugins)
    machine = memory()
    room = machine.limit or machine.total
    found = [row for row in here if row.has(words)]
    if asks_hub and words:
        found += [
            row for row in on_hubs(words, app.plugins, limit=limit) if row.name not in {one.name for one in found}
        ]
    if fits:
        found = [row for row in found if row.fits(room) and not row.obstacle]
    if as_json:
        click.echo(json.dumps([_described(row, room) for row in found], indent=2, ensure_ascii=False))
    elif found:
        _show(found, room)
    else:
        close = close_to(words, here)
        hint = f"did you mean {' or '.join(f'`{name}`' for name in close)}? " if close else ""
        hint += "" if asks_hub else "`--hub` asks the Hugging Face hub, too"
        raise ModelNotFound(f"no model fits `{' '.join(words)}`", hint=hint.strip() or None)


def _show(found: Sequence[Row], room: int) -> None:
    from olpipe.store.search import ITS_OWN

    rows = [("NAME", "SIZE", "MEMORY", "SECONDS A PHOTO", "LICENCE", "ABOUT")]
    for row in found:
        seconds = _UNKNOWN if row.seconds_a_photo is None else f"{row.seconds_a_photo:g}"
        rows.append((row.name, _size(row.size_bytes), _size(row.memory_bytes), seconds, row.license, _about(row, room)))
    click.echo(wording.table(rows, columns=wording.screen_columns()))
    if any(row.tested not in ("", ITS_OWN) for row in found):
        note = f"{_NOT_ITS_OWN} run by us with random weights only, of its size or smaller: ask `olpipe doctor` first"
        click.echo(note, err=True)
    if any(row.measured for row in found):
        click.echo("figures are of two cores of an AMD EPYC; `olpipe search --json` says more", err=True)


def _about(row: Row, room: int) -> str:
    from olpipe.store.search import ITS_OWN

    facts = ["on this machine"] if row.is_here else []
    facts += [row.obstacle] if row.obstacle else []
    facts += [] if row.fits(room) else [f"does not fit into the {wording.size(room)} of this machine"]
    about = "; ".join([row.about, *facts]) if row.about else "; ".join(facts)
    return f"{about} {_NOT_ITS_OWN}" if row.tested not in ("", ITS_OWN) else about


def _size(count: int | None) -> str:
    return _UNKNOWN if count is None else wording.size(count)


def _described(row: Row, room: int) -> dict[str, Any]:
    return {
        "name": row.name,
        "about": row.about,
        "source": row.source,
        "family": row.family,
        "license": row.license,
        "capabilities": list(row.capabilities),
        "size": row.size_bytes,
        "memory": row.memory_bytes,
        "seconds_a_photo": row.seconds_a_photo,
        "measured": row.measured,
        "tested": row.tested,
        "here": row.is_here,
        "fits": row.fits(room),
        "obstacle": row.obstacle,
    }
