"""List the recipes that have names, with one line about each."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from olpipe.describing.recipe_file import named_recipes, shipped_recipes
from olpipe.describing.recipe_source import RecipeSource
from olpipe.errors import OlpipeError


@dataclass(frozen=True, slots=True)
class ListedRecipe:
    """What a list says of a recipe.

    Attributes:
        name: Its name: that of the file, without `.toml`.
        ships: Whether it came with olpipe, and is not the user's own.
        path: Its file.
        task: Its task; empty where it cannot be used.
        model: Its model; empty where it cannot be used.
        about: What it is for.
        error: Why it cannot be used; empty where it can.
    """

    name: str
    ships: bool
    path: str
    task: str = ""
    model: str = ""
    about: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"error": self.error or None}


def listed(folder: Path | None = None) -> list[ListedRecipe]:
    """Return the recipes that have names, sorted: first those that ship, then those of a folder."""
    shipped = shipped_recipes()
    rows = [_row(name, path, ships=shipped.get(name) == path) for name, path in named_recipes(folder).items()]
    return sorted(rows, key=lambda row: (not row.ships, row.name))


def about(text: str) -> str:
    """Return what the file of a recipe says that it is for: its description, or the sentence that it begins with."""
    described = tomllib.loads(text).get("description", "")
    if isinstance(described, str) and described.strip():
        return " ".join(described.split())
    comment = re.match(r"\s*((?:#[^\n]*\n)+)", text)
    words = " ".join(line.lstrip("# ") for line in comment[1].splitlines()) if comment else ""
    return re.split(r"(?<=\.) ", " ".join(words.split()), maxsplit=1)[0]


def _row(name: str, path: Path, *, ships: bool) -> ListedRecipe:
    row = ListedRecipe(name, ships, str(path))
    try:
        source = RecipeSource.read(path, name)
        recipe = source.recipe()
    except OlpipeError as error:
        return ListedRecipe(name, ships, str(path), error=error.message)
    return ListedRecipe(row.name, row.ships, row.path, recipe.task, recipe.model, about(source.text))
