"""A recipe as it was found: the text of its file, what changes in it for one run, and where its mistakes are."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_changes import Change, changed, place_of
from olpipe.describing.recipe_lines import line_of, wrong_line
from olpipe.describing.recipe_mistake import Mistake, written
from olpipe.describing.recipe_table import KEYS, mistakes, parse_recipe
from olpipe.describing.recipe_task import Refusal
from olpipe.errors import RecipeError, UsageError

VOCABULARY = ("tags", "from")


@dataclass(frozen=True, slots=True)
class Placed:
    """A mistake with its place.

    Attributes:
        file: The file as the user called it, or the recipe's name.
        line: The line, counted from 1.
        key: The key, like `options.temperature`; empty where it is the file itself.
        error: What is wrong.
        change: The `--set` that the mistake is in; empty where it is in the file.
    """

    file: str
    line: int
    key: str
    error: UsageError
    change: str = ""

    def raised(self) -> UsageError:
        """Return the error with its place in the message."""
        place = f"`--set {self.change}`" if self.change else f"recipe `{self.file}`, line {self.line}"
        return type(self.error)(f"{place}: {self.message}", hint=self.error.hint)

    @property
    def message(self) -> str:
        """What is wrong, with the key before it where the error does not name the key."""
        named = not self.key or f"`{self.key}" in self.error.message
        return self.error.message if named else f"`{self.key}`: {self.error.message}"


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """The text of a recipe.

    Attributes:
        shown: What messages call it.
        text: The file's text.
        changes: What is set otherwise for one run.
        folder: The folder of the file, where other files that it names are looked for.
    """

    shown: str
    text: str
    changes: tuple[Change, ...] = ()
    folder: Path = Path()

    @classmethod
    def read(cls, path: Path, shown: str, changes: Sequence[Change] = ()) -> Self:
        """Read a file.

        Args:
            path: The file.
            shown: What messages call it.
            changes: What is set otherwise for one run.

        Raises:
            RecipeError: It cannot be read.
        """
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
            return cls(shown, text, tuple(changes), path.parent)
        except OSError as error:
            raise RecipeError(f"recipe `{shown}` cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise RecipeError(f"recipe `{shown}`, line {line}: it is not valid TOML: it is not UTF-8") from error

    def recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            RecipeError: It has a mistake. The message says where.
            SchemaError: The mistake is in its schema.
        """
        for mistake in self.mistakes():
            raise mistake.raised()
        return parse_recipe(self._table(), self._folder())

    def mistakes(self) -> Iterator[Placed]:
        """Yield all mistakes. Where the text is no TOML, there is one: what stands behind it cannot be read."""
        try:
            table = self._table()
        except tomllib.TOMLDecodeError as error:
            line, message = wrong_line(error, self.text)
            yield Placed(self.shown, line, "", RecipeError(f"it is not valid TOML: {message}"))
            return
        for mistake in mistakes(table, self._folder()):
            yield self.placed(mistake)

    def placed(self, mistake: Mistake) -> Placed:
        """Return where a mistake is."""
        table = self._table() if self.changes else {}
        for change in reversed(self.changes):
            place = place_of(change, table)
            if mistake.path[: len(place)] == place:
                return Placed(self.shown, 0, written(mistake.path), mistake.error, str(change))
        return Placed(self.shown, line_of(self.text, mistake.path), written(mistake.path), mistake.error)

    def refused(self, refusal: Refusal) -> Placed:
        """Return where a mistake is that the recipe's task tells: at the property that it names, or at the task."""
        table = self._table()
        path: tuple[str | int, ...] = () if refusal.stage is None else ("stages", refusal.stage)
        schema = table["schema"] if refusal.stage is None else table["stages"][refusal.stage]["schema"]
        named = next((name for name in schema.get("properties", {}) if f"`{name}`" in refusal.error.message), None)
        place = ("task",) if named is None else (*path, "schema", "properties", named)
        return self.placed(Mistake(place, refusal.error))

    def _folder(self) -> Path:
        """Return where the vocabulary is looked for. What `--set` names is looked for where the command runs."""
        return Path() if any(change.path == VOCABULARY[: len(change.path)] for change in self.changes) else self.folder

    def _table(self) -> dict[str, Any]:
        return changed(tomllib.loads(self.text), self.changes, KEYS)
