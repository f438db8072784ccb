"""Check a recipe as thoroughly as that is possible without a model."""

from __future__ import annotations

from collections.abc import Iterator

from olpipe.describing.recipe_source import Placed, RecipeSource
from olpipe.describing.recipe_task import refused_by_task, unknown_names
from olpipe.plugins import Plugins


def wrong_in(source: RecipeSource, plugins: Plugins) -> list[Placed]:
    """Return every mistake in a recipe, in the order of lines.

    Plugins are asked only where the recipe has no other mistake.
    """
    found = list(source.mistakes()) or list(_unusable(source, plugins))
    return sorted(found, key=lambda placed: placed.line)


def _unusable(source: RecipeSource, plugins: Plugins) -> Iterator[Placed]:
    """Yield what plugins say against a recipe without mistakes."""
    recipe = source.recipe()
    yield from map(source.placed, unknown_names(recipe, plugins))
    refused = refused_by_task(recipe, plugins.tasks)
    if refused is not None:
        yield source.refused(refused)
