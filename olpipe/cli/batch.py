"""`olpipe batch`: describe folders of photos, with one JSON record for each photo."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import choices, recipe_options, selection_options
from olpipe.cli.main import INTERRUPTED

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.describing.recipe import Recipe
    from olpipe.engine.manager import Engine
    from olpipe.imaging.discover import Discovery
    from olpipe.pipeline.run import BatchOptions, Observer

SOME_FAILED = 3


@click.command(cls=selection_options.RetryingCommand)
@selection_options.inputs
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUTPUT", help="The output folder."
)
@recipe_options.recipe
@click.option("--model", metavar="MODEL", help="Use this model instead of the recipe's.")
@click.option("--prompt", help="Ask this instead of what the recipe asks.")
@click.option("--schema", metavar="FILE|JSON", help="The JSON Schema of answers. Records have them under `data` then.")
@choices.perceivers
@click.option("--min-score", type=float, metavar="N", help="Leave out tags and objects with a score below N (0 to 1).")
@choices.loading
@click.option("--lang", "language", metavar="TAG", help="The language of tags and texts, like de or zh-Hans.")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="SCHEME[:TARGET]",
    help="Where records go; may be repeated. TARGET is a path below OUTPUT, or what the sink understands.",
)
@click.option("--executor", metavar="NAME", help="What works through the photos. By default, local.")
@selection_options.selection
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Begin no new photo after so many hours. The same command goes on another time.",
)
@click.option("--plan", is_flag=True, help="Describe eight photos, say how long all will take, and write nothing.")
@click.option("--no-page", is_flag=True, help="Do not make OUTPUT/index.html, the page to look at.")
@click.pass_obj
def batch(
    app: App,
    /,
    *,
    output: Path,
    recipe_name: str,
    max_hours: float | None,
    plan: bool,
    no_page: bool,
    **changes: Any,
) -> int:
    """Describe photos, with one JSON record for each photo.

    INPUT is a folder with all its subfolders, a photo, a zip or tar archive, or a pattern like 'photos/**/*.jpg'.
    Records go to OUTPUT/records.jsonl, unless `--sink` names other places. Photos that could not be described
    are listed in OUTPUT/failures.jsonl. Counts and times go to OUTPUT/run.json. OUTPUT/index.html shows the
    photos and their records in a browser.

    The same command again goes on where the last one stopped, and does nothing twice. A photo that was
    renamed keeps its record. A photo that was changed gets a new one.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")  # mostly about metadata; what matters becomes a failure
    options = selection_options.batch_options(changes, output, page=not no_page)
    given = selection_options.named(changes)
    recipe = recipe_options.chosen(app, recipe_name, changes)
    found = given.find(app.plugins.image_loaders, leave_out=output, cache=app.settings.home / "cache")
    return _plan(app, found, recipe, options) if plan else _run(app, found, recipe, options, max_hours)


def _run(app: App, found: Discovery, recipe: Recipe, options: BatchOptions, max_hours: float | None) -> int:
    """Run the batch, show how it goes, and return the exit code."""
    from olpipe.cli.batch_display import summarise
    from olpipe.pipeline.run import run_batch

    with _working(app, found, recipe) as (engine, observer), _stopping(observer.stop, max_hours) as out_of_time:
        result = run_batch(found, recipe, options, observer, plugins=app.plugins, engine=engine, settings=app.settings)
    summarise(result, options.output, page=options.page, out_of_time=out_of_time.is_set())
    if result.status == "interrupted" and not out_of_time.is_set():
        return INTERRUPTED
    failed = result.counts.failures or result.counts.failures_before or found.unopened or found.missing
    return SOME_FAILED if failed else 0


def _plan(app: App, found: Discovery, recipe: Recipe, options: BatchOptions) -> int:
    """Tell what the batch will take."""
    from olpipe.cli.batch_plan import tell
    from olpipe.pipeline.forecast import forecast

    with _working(app, found, recipe) as (engine, observer):
        told = forecast(found, recipe, options, observer, plugins=app.plugins, engine=engine, settings=app.settings)
    tell(told)
    return INTERRUPTED if observer.stop.is_set() else 0


@contextmanager
def _working(app: App, found: Discovery, recipe: Recipe) -> Iterator[tuple[Engine, Observer]]:
    """Yield an engine and an observer, and show how the work goes."""
    from olpipe.cli.batch_display import BatchDisplay, finishing_on_interrupt, passed_by
    from olpipe.cli.progress import shown
    from olpipe.engine.manager import Engine
    from olpipe.pipeline.run import Observer

    display = BatchDisplay()
    for line in passed_by(found):
        display.notice(line)
    observer = Observer(display.progress, display.notice)
    explanation = f"getting `{recipe.model}` ready: this may take some minutes, once"
    try:
        with (
            finishing_on_interrupt(observer.stop, display),
            shown(explanation) as progress,
            Engine(app.library, app.plugins, app.settings, progress=progress) as engine,
        ):
            yield engine, observer
    finally:
        display.close()


@contextmanager
def _stopping(stop: threading.Event, hours: float | None) -> Iterator[threading.Event]:
    """Set an event after so many hours, and yield another one that says whether that has happened."""
    is_over = threading.Event()

    def end() -> None:
        if not stop.is_set():
            is_over.set()
            stop.set()

    timer = threading.Timer((hours or 0) * 3600, end)
    timer.daemon = True
    if hours is not None:
        timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
