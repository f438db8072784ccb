"""The options of a batch that say what is asked: a recipe, and keys that are set otherwise for one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from olpipe.cli import tags_options

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.describing.recipe import Recipe

_Command = TypeVar("_Command", bound=Callable[..., Any])


def recipe(command: _Command) -> _Command:
    """Give a command `--recipe`, `--set`, `--tags-from` and `--tags-mode`."""
    set_keys = click.option(
        "--set",
        "set_keys",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a key of the recipe for this run, like options.max_tokens=90; may be repeated.",
    )
    name = click.option(
        "--recipe",
        "recipe_name",
        default="photo-tags",
        metavar="NAME|FILE",
        help="What to ask of every photo.",
    )
    return name(set_keys(tags_options.tags(command)))


def chosen(app: App, name: str, changes: dict[str, Any]) -> Recipe:
    """Read the recipe and change what the options change.

    Raises:
        UsageError: The recipe, a key that is set, or another option cannot be used. The message says where.
    """
    from olpipe.cli.schema_option import schema_text
    from olpipe.describing.recipe_changes import Change
    from olpipe.describing.recipe_file import find_recipe
    from olpipe.describing.recipe_task import refused_by_task, unknown_names

    schema, sinks = changes.pop("schema"), changes.pop("sinks")
    vocabulary = {name: changes.pop(name) for name in ("tags_from", "tags_mode")}
    text = None if schema is None else schema_text("--schema", schema)
    source = find_recipe(name, app.settings.recipes, [Change.parse(given) for given in changes.pop("set_keys")])
    written = source.recipe()
    recipe = tags_options.tagged(written.override(schema=text, sinks=sinks or None, **changes), **vocabulary)
    for mistake in unknown_names(recipe, app.plugins):
        key = str(mistake.path[0])
        if getattr(recipe, key) == getattr(written, key):  # else an option names it, and the run tells
            raise source.placed(mistake).raised()
    refused = refused_by_task(recipe, app.plugins.tasks) if recipe.schema == written.schema else None
    if refused is not None:
        raise source.refused(refused).raised()
    return recipe
