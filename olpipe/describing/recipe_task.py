"""What plugins say of a recipe before there is a photo: whether they have what it names, and what its task asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_mistake import Mistake
from olpipe.describing.templates import filled
from olpipe.errors import OlpipeError, SchemaError, UnknownName
from olpipe.generation import GenerateRequest
from olpipe.image import DecodedImage
from olpipe.interfaces import Task
from olpipe.messages import Part, TextPart
from olpipe.plugins import Plugins
from olpipe.registry import Registry

SAMPLE_SIDE = 64

SAMPLE = {
    "file": "IMG_0001.jpg",
    "folder": "Summer",
    "exif.date": "2024-05-31",
    "evidence": "photo: two dogs close up (center), maybe small ball (left)",
}
"""What is told of a sample photo."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a task cannot fill in a schema.

    Attributes:
        error: What is wrong.
        stage: The place of the stage whose schema it is; None where the recipe has no stages.
    """

    error: SchemaError
    stage: int | None


def requests_for_sample(recipe: Recipe, tasks: Registry[Task]) -> Iterator[GenerateRequest]:
    """Yield what the task asks about a grey square: a request for each stage, or the only one.

    Raises:
        UnknownName: There is no such task.
        SchemaError: The task cannot fill in the recipe's schema.
        PluginError: The task failed.
    """
    import numpy as np

    task = tasks.get(recipe.task)
    square = DecodedImage(np.full((SAMPLE_SIDE, SAMPLE_SIDE, 3), 128, np.uint8), SAMPLE_SIDE, SAMPLE_SIDE)
    for question in recipe.questions:
        with tasks.blaming(task.name):
            request = task.build(square, question.context(photo_first=bool(recipe.stages)))
        yield request


def unknown_names(recipe: Recipe, plugins: Plugins) -> Iterator[Mistake]:
    """Yield the names in a recipe that no plugin has. Sinks are not looked at: they have targets, too."""
    named = [("task", plugins.tasks.get, [recipe.task]), ("executor", plugins.executors.get, [recipe.executor])]
    named += [("backend", plugins.backends.get, [recipe.backend] if recipe.backend else [])]
    named += [("perceivers", plugins.perceivers.get, [*(recipe.perceivers or ())])]
    for key, get, names in named:
        for name in names:
            try:
                get(name)
            except UnknownName as error:
                yield Mistake((key,), error)


def refused_by_task(recipe: Recipe, tasks: Registry[Task]) -> Refusal | None:
    """Return why the task cannot fill in the recipe's schema; None where it can, or where nobody can tell."""
    asked = 0
    try:
        for _ in requests_for_sample(recipe, tasks):
            asked += 1
    except SchemaError as error:
        return Refusal(error, asked if recipe.stages else None)
    except OlpipeError:  # the run tells it, at the photo that it happens to
        return None
    return None


def conversation(recipe: Recipe, tasks: Registry[Task]) -> Iterator[tuple[str, str]]:
    """Yield what a model is told about a sample photo: each message with who speaks.

    `[photo]` stands for the photo. A sample stands for what a prompt tells of it. What an earlier stage answered stays
    a name in braces.
    """
    for request in requests_for_sample(recipe, tasks):
        for message in request.messages:
            parts = [_shown(part) for part in message.parts]
            yield message.role, "\n".join(parts)


def _shown(part: Part) -> str:
    if isinstance(part, TextPart):
        return filled(part.text, SAMPLE)
    return "[photo]"
