"""Find a recipe by its name or by path, and read it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import olpipe
from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_changes import Change
from olpipe.describing.recipe_mistake import offer
from olpipe.describing.recipe_question import OPTIONS
from olpipe.describing.recipe_source import RecipeSource
from olpipe.describing.recipe_table import KEYS, parse_recipe
from olpipe.errors import RecipeError, nearest

__all__ = [
    "KEYS",
    "OPTIONS",
    "find_recipe",
    "is_path",
    "named_recipe",
    "named_recipes",
    "parse_recipe",
    "read_recipe",
    "shipped_recipes",
]


def find_recipe(name_or_path: str, folder: Path | None = None, changes: Sequence[Change] = ()) -> RecipeSource:
    """Find a recipe by its name, or any recipe by its path, and read its text.

    Args:
        name_or_path: A text that ends in `.toml`, or has a slash in it, is a path.
        folder: The folder of the user's own recipes, which have names, too.
        changes: What is set otherwise for one run.

    Raises:
        RecipeError: There is none of that name, or the file cannot be read.
    """
    if not is_path(name_or_path):
        path = _named(name_or_path, folder, "; or give the path of a file")
        return RecipeSource.read(path, str(path), changes)
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        close = nearest(path.name, (found.name for found in path.parent.glob("*.toml")))
        raise RecipeError(f"there is no recipe `{name_or_path}`", hint=offer(close))
    return RecipeSource.read(path, str(path), changes)


def is_path(name_or_path: str) -> bool:
    """Say whether a text is the path of a recipe, and not its name."""
    return Path(name_or_path).suffix == ".toml" or os.sep in name_or_path or "/" in name_or_path


def read_recipe(name_or_path: str, folder: Path | None = None) -> Recipe:
    """Read a recipe by its name, or any recipe by its path.

    Args:
        name_or_path: A text that ends in `.toml`, or has a slash in it, is a path.
        folder: The folder of the user's own recipes, which have names, too.

    Raises:
        RecipeError: There is none of that name, or the file cannot be used. The message says where in it.
        SchemaError: Its schema is not a valid JSON Schema.
    """
    return find_recipe(name_or_path, folder).recipe()


def named_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Read a recipe by its name only. No file is opened but those of `named_recipes`, and no message tells a path.

    Args:
        name: The name.
        folder: The folder of the user's own recipes.

    Raises:
        RecipeError: There is none of that name, or the file cannot be used.
        SchemaError: Its schema is not a valid JSON Schema.
    """
    return RecipeSource.read(_named(name, folder), name).recipe()


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with olpipe, by name."""
    package = Path(olpipe.__file__).parent
    folders = (package / "pipelines", package.parent / "pipelines")  # as installed, and in a checkout
    folder = next((folder for folder in folders if folder.is_dir()), package)
    return _recipes_in(folder)


def named_recipes(folder: Path | None = None) -> dict[str, Path]:
    """Return all recipes that have a name: those that ship, and those in a folder, which come first.

    The name is that of the file, without `.toml`.
    """
    return shipped_recipes() | (_recipes_in(folder) if folder is not None else {})


def _recipes_in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _named(name: str, folder: Path | None, otherwise: str = "") -> Path:
    """Return the file of a recipe that has a name.

    Args:
        name: The name.
        folder: The folder of the user's own recipes.
        otherwise: What the hint offers besides the names.
    """
    known = named_recipes(folder)
    if name not in known:
        hint = offer(nearest(name, known)) or f"known: {', '.join(known)}{otherwise}"
        raise RecipeError(f"there is no recipe `{name}`", hint=hint)
    return known[name]
