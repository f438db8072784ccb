"""`olpipe watch`: go on describing photos as they arrive in folders."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import recipe_options, selection_options
from olpipe.cli.batch import batch

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.describing.recipe import Recipe
    from olpipe.imaging.watched import WatchedFolders
    from olpipe.pipeline.run import BatchOptions

SETTLE_S = 10.0
"""Longer than cameras and network drives take between two pieces of a file, or to tell of its new size."""

ONLY_BATCH: dict[str, Any] = {
    "inputs": (),
    "files_from": None,
    "column": None,
    "limit": None,
    "sample": None,
    "fresh": False,
    "max_hours": None,
    "plan": False,
}
"""What `batch` takes and makes no sense where photos arrive for ever, with what it is then."""


@click.command(
    cls=selection_options.RetryingCommand,
    params=[parameter for parameter in batch.params if parameter.name not in ONLY_BATCH],
)
@click.argument("folders", nargs=-1, metavar="FOLDER...")
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0),
    default=SETTLE_S,
    metavar="SECONDS",
    help="Describe a photo when its file has not changed for so long.",
)
@click.pass_obj
def watch(
    app: App, /, *, folders: tuple[str, ...], settle_s: float, recipe_name: str, no_page: bool, **given: Any
) -> int:
    """Go on describing photos as they arrive.

    FOLDER is a folder; it is watched with all its subfolders. OUTPUT gets what `olpipe batch` writes there, and is up
    to date after each group of photos. `olpipe batch` with the same folders and options goes on there, and
    the other way round.

    A photo is described once its file has been the same for some seconds, and no program writes to it. One that was
    changed gets a new record. One that was renamed keeps its record, and so does one that was deleted.

    Ctrl-C finishes the photos in work. A second Ctrl-C ends at once, and loses nothing that is done.
    """
    from olpipe.imaging.watched import WatchedFolders

    warnings.filterwarnings("ignore", module=r"PIL\.")  # mostly about metadata; what matters becomes a failure
    given |= ONLY_BATCH
    output: Path = given.pop("output")
    options = selection_options.batch_options(given, output, page=not no_page)
    exclude = selection_options.named(given).exclude
    for name in ("max_hours", "plan"):
        del given[name]
    recipe = recipe_options.chosen(app, recipe_name, given)
    suffixes = {suffix for loader in app.plugins.image_loaders for suffix in loader.suffixes}
    watched = WatchedFolders(folders, suffixes, leave_out=output, exclude=exclude)
    return _run(app, watched, recipe, options, settle_s)


def _run(app: App, folders: WatchedFolders, recipe: Recipe, options: BatchOptions, settle_s: float) -> int:
    """Watch, show how it goes, and return the exit code."""
    from olpipe.cli.progress import shown
    from olpipe.cli.watch_display import WatchDisplay, ending_on_signals
    from olpipe.engine.manager import Engine
    from olpipe.pipeline.watch import Pace, Teller, Watch

    display = WatchDisplay(options.output)
    teller = Teller(display.changed, display.notice, display.looked, display.finished)
    explanation = f"getting `{recipe.model}` ready: this may take some minutes, once"
    try:
        with (
            shown(explanation) as progress,
            Engine(app.library, app.plugins, app.settings, progress=progress) as engine,
        ):
            watching = Watch(
                folders,
                recipe,
                options,
                teller,
                pace=Pace(settle_s),
                plugins=app.plugins,
                engine=engine,
                settings=app.settings,
            )
            with ending_on_signals(watching.end):
                watching.run()
    finally:
        display.close()
    return 0
