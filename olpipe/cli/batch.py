"""`olpipe batch`: describe folders of photos, with one JSON record for each photo."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import choices
from olpipe.cli.main import INTERRUPTED

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.describing.recipe import Recipe
    from olpipe.imaging.discover import Discovery
    from olpipe.pipeline.run import BatchOptions

SOME_FAILED = 3


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUTPUT", help="The output folder."
)
@click.option("--recipe", "recipe_name", default="photo-tags", metavar="NAME|FILE", help="What to ask of every photo.")
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
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders of this name, like 'thumb*'; with a `/`, of this path. May be repeated.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Describe only the first N photos.")
@click.option("--retry-failed", is_flag=True, help="Try photos again that failed before.")
@click.pass_obj
def batch(
    app: App,
    /,
    *,
    inputs: tuple[str, ...],
    output: Path,
    recipe_name: str,
    limit: int | None,
    retry_failed: bool,
    exclude: tuple[str, ...],
    **changes: Any,
) -> int:
    """Describe photos, with one JSON record for each photo.

    INPUT is a folder with all its subfolders, a photo, or a pattern in quotes like 'photos/**/*.jpg'.
    Records go to OUTPUT/records.jsonl, unless `--sink` names other places. Photos that could not be described
    are listed in OUTPUT/failures.jsonl. Counts and times go to OUTPUT/run.json.

    The same command again goes on where the last one stopped, and does nothing twice. A photo that was
    renamed keeps its record. A photo that was changed gets a new one.
    """
    from olpipe.imaging.discover import discover
    from olpipe.pipeline.run import BatchOptions

    warnings.filterwarnings("ignore", module=r"PIL\.")  # mostly about metadata; what matters becomes a failure
    recipe = _recipe(recipe_name, app.settings.recipes, changes)
    suffixes = {suffix for loader in app.plugins.image_loaders for suffix in loader.suffixes}
    found = discover(inputs, suffixes, leave_out=output, exclude=exclude)
    return _run(app, found, recipe, BatchOptions(output, limit, retry_failed))


def _recipe(name: str, folder: Path | None, changes: dict[str, Any]) -> Recipe:
    """Read the recipe and change what the options change."""
    from olpipe.cli.schema_option import schema_text
    from olpipe.describing.recipe_file import read_recipe

    schema, sinks = changes.pop("schema"), changes.pop("sinks")
    text = None if schema is None else schema_text("--schema", schema)
    return read_recipe(name, folder).override(schema=text, sinks=sinks or None, **changes)


def _run(app: App, found: Discovery, recipe: Recipe, options: BatchOptions) -> int:
    """Run the batch, show how it goes, and return the exit code."""
    from olpipe.cli.batch_display import BatchDisplay, finishing_on_interrupt, passed_by, summarise
    from olpipe.cli.progress import shown
    from olpipe.engine.manager import Engine
    from olpipe.pipeline.run import Observer, run_batch

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
            result = run_batch(
                found, recipe, options, observer, plugins=app.plugins, engine=engine, settings=app.settings
            )
    finally:
        display.close()
    summarise(result, options.output)
    if result.status == "interrupted":
        return INTERRUPTED
    failed = result.counts.failures or result.counts.failures_before or found.unopened
    return SOME_FAILED if failed else 0
