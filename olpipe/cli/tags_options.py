"""The options of a batch that say which tags there are: a vocabulary, and what it does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.describing.recipe import Recipe

logger = logging.getLogger(__name__)

_Command = TypeVar("_Command", bound=Callable[..., Any])

MODES = ("closed", "prefer", "map")


def tags(command: _Command) -> _Command:
    """Give a command `--tags-from` and `--tags-mode`."""
    mode = click.option(
        "--tags-mode",
        type=click.Choice(MODES),
        help="closed: only listed terms can be tags. prefer: they replace words that mean the same. map: tags become"
        " terms, and others are left out. By default, closed.",
    )
    source = click.option(
        "--tags-from",
        metavar="FILE",
        help="A vocabulary for tags: a text file with a term on each line, or a CSV file with synonyms and languages.",
    )
    return source(mode(command))


def tagged(recipe: Recipe, *, tags_from: str | None, tags_mode: str | None) -> Recipe:
    """Return a recipe with the vocabulary and the mode that options name. Warn of terms that cannot be used.

    Raises:
        UsageError: There are no tags or no vocabulary, or the vocabulary cannot be used. The message names the line.
    """
    if tags_from is not None or tags_mode is not None:
        recipe = _changed(recipe, tags_from, tags_mode)
    tagging = recipe.used_tagging
    if tagging is not None and (refused := tagging.refused(recipe.schema, recipe.language)):
        few = ", ".join(f"`{name}`" for name in refused[:3])
        more = ", …" if len(refused) > 3 else ""
        message = "the schema has no room for these terms of `%s` (%s of them), so they are left out: %s%s"
        logger.warning(message, tagging.source, len(refused), few, more)
    return recipe


def _changed(recipe: Recipe, tags_from: str | None, tags_mode: str | None) -> Recipe:
    from dataclasses import replace

    from olpipe.tagging.schema import has_tags
    from olpipe.tagging.settings import Mode, Tagging
    from olpipe.tagging.vocabulary_file import read_vocabulary

    option = "--tags-mode" if tags_from is None else "--tags-from"
    if not has_tags(recipe.schema):
        hint = "leave the option out, or add such an array to the schema"
        raise UsageError(f"`{option}` does nothing: the schema has no array of texts that is called `tags`", hint=hint)
    tagging = recipe.tagging or Tagging()
    if tags_from is not None:
        tagging = replace(tagging, vocabulary=read_vocabulary(Path(tags_from), tags_from), source=tags_from)
    if tagging.vocabulary is None:
        hint = "name the file of one with `--tags-from FILE`"
        raise UsageError(f"`--tags-mode {tags_mode}` is about a vocabulary, and there is none", hint=hint)
    tagging = tagging if tags_mode is None else replace(tagging, mode=Mode(tags_mode))
    tagging.check(recipe.schema, recipe.language)
    return replace(recipe, tagging=tagging)
