"""What a run says once before it starts: where records will not be what somebody may expect of the recipe."""

from __future__ import annotations

from collections.abc import Iterator

from olpipe.describing.recipe import Recipe
from olpipe.guidance.keywords import optional_properties
from olpipe.interfaces import Task
from olpipe.model import ModelConfig, ModelName

MOST_NAMES = 5
"""Most properties that a line names."""


def notices(recipe: Recipe, task: Task, name: ModelName, model: ModelConfig) -> Iterator[str]:
    """Yield lines for the user.

    Args:
        recipe: What is asked.
        task: The task that asks.
        name: The model's name.
        model: What its manifest says of it.
    """
    if not model.writes(recipe.language):
        yield f"`{name}` does not write `{recipe.language}`: {_unwritten(recipe, task)}"
    if model.prompts and recipe.prompt not in model.prompts:
        yield f"warning: `{name}` does not follow prompts: the recipe's hardly changes what it writes"
        yield "hint: name a model that does, with --model"
    yield from _optional(recipe)


def _unwritten(recipe: Recipe, task: Task) -> str:
    """Return what happens to texts in a language that the model does not write."""
    *others, last = [f"`{name}`" for name in task.sentences if name in recipe.schema.get("properties", {})] or [""]
    missing = f"{', '.join(others)} and {last}" if others else last
    return f"{missing} will be left out" if missing else "its answers may be in another language"


def _optional(recipe: Recipe) -> Iterator[str]:
    """Yield lines about properties that a model may leave out, because the schema does not require them."""
    names = [f"`{name}`" for name in optional_properties(recipe.schema)]
    if names:
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        them = "them" if len(names) > 1 else "it"
        given = ", ".join(names[:MOST_NAMES]) + more
        yield f"warning: the schema does not require {given}: a model may leave {them} out"
        yield "hint: list under `required` what every record should have"
