"""The task `data`: any schema. Its values stand under `data`, so they never collide with a record's own keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from olpipe.default_plugins.tasks.asking import ask
from olpipe.generation import GenerateRequest
from olpipe.hookspecs import hookimpl
from olpipe.image import DecodedImage
from olpipe.interfaces import Task, TaskContext


class DataTask(Task):
    """Fills in a document of the recipe's own schema."""

    name = "data"
    version = "1"

    def build(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        """Return the request for one photo."""
        return ask(image, context)

    def parse(self, value: Any, image: DecodedImage) -> Mapping[str, Any]:
        """Return the document as it is."""
        return {"data": value}


@hookimpl
def register_tasks() -> Iterable[Task]:
    """Return the task."""
    return (DataTask(),)
