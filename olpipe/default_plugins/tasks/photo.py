"""The task `photo`: tags, title, description, alt text and objects, at the top level of the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from olpipe.default_plugins.tasks.asking import ask
from olpipe.errors import SchemaError
from olpipe.generation import GenerateRequest
from olpipe.hookspecs import hookimpl
from olpipe.image import LEAST_SIDE, DecodedImage
from olpipe.interfaces import Task, TaskContext

PROPERTIES = ("tags", "title", "description", "alt", "objects")
BOX = frozenset({"x", "y", "w", "h"})


class PhotoTask(Task):
    """Describes a photo for people, search engines and screen readers."""

    name = "photo"
    version = "1"
    sentences = ("title", "description", "alt")
    scored = True

    def build(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        """Return the request for one photo. Where the context is not `with_sentences`, none are asked for.

        They are left out of the record then. An empty `alt` would tell screen readers to pass the photo by.

        Raises:
            SchemaError: The schema has properties that this task does not know, or lets the model write scores.
        """
        properties = context.schema.get("properties", {})
        for name in properties:
            if name not in PROPERTIES:
                hint = f'it knows {", ".join(PROPERTIES)}; for a schema of your own use `task = "data"`'
                raise SchemaError(f"the task `photo` does not know the property `{name}`", hint=hint)
        if _names_scores(properties.get("objects")):
            hint = "leave it out of the schema: perceivers bring it"
            raise SchemaError("the task `photo` does not let the model write the `score` of an object", hint=hint)
        if context.with_sentences:
            return ask(image, context)
        return ask(image, replace(context, schema=self._wordless(context.schema)))

    def _wordless(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a schema without the sentences."""
        properties = {name: part for name, part in schema.get("properties", {}).items() if name not in self.sentences}
        required = [name for name in schema.get("required", ()) if name not in self.sentences]
        return {**schema, "properties": properties, "required": required}

    def parse(self, value: Any, image: DecodedImage) -> Mapping[str, Any]:
        """Return the document with each tag once and every box inside the photo."""
        values: dict[str, Any] = dict(value)
        if values.get("tags") is not None:
            values["tags"] = _once(values["tags"])
        if values.get("objects") is not None:
            objects = (_inside(thing, image.width, image.height) for thing in values["objects"])
            values["objects"] = [thing for thing in objects if thing is not None]
        return values


def _names_scores(objects: Any) -> bool:
    """Say whether the schema of `objects` names a score."""
    items = objects.get("items") if isinstance(objects, Mapping) else None
    return isinstance(items, Mapping) and "score" in items.get("properties", {})


def _once(tags: Iterable[str]) -> list[str]:
    """Drop repeated and empty tags, keeping the order."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag.strip().casefold(), tag.strip())
    first.pop("", None)
    return list(first.values())


def _inside(thing: Mapping[str, Any], width: int, height: int) -> dict[str, Any] | None:
    """Clip an object's box to the photo, if the object has one. Return None when too little of the box is left."""
    thing = {**thing, "tags": _once(thing["tags"])} if "tags" in thing else dict(thing)
    if not BOX.issubset(thing):
        return thing
    left, top = max(0, thing["x"]), max(0, thing["y"])
    w, h = min(width, thing["x"] + thing["w"]) - left, min(height, thing["y"] + thing["h"]) - top
    return None if w < LEAST_SIDE or h < LEAST_SIDE else thing | {"x": left, "y": top, "w": w, "h": h}


@hookimpl
def register_tasks() -> Iterable[Task]:
    """Return the task."""
    return (PhotoTask(),)
