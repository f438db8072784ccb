"""What a recipe's table may hold: every mistake in it, and the `Recipe` that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from olpipe.describing.recipe import USUAL_EXECUTOR, USUAL_SINKS, Recipe
from olpipe.describing.recipe_mistake import Mistake, mistake, not_texts, wrong_keys
from olpipe.describing.recipe_question import examples_of, question_mistakes, sampling_of
from olpipe.describing.recipe_schema import schema_of
from olpipe.describing.recipe_stages import stage_mistakes, stages_of
from olpipe.describing.recipe_tags import TAGS, tag_mistakes, tagging_of
from olpipe.describing.stage import joined_schema
from olpipe.errors import RecipeError
from olpipe.languages import is_tag

KEYS: dict[str, type] = {"name": str, "description": str, "task": str, "model": str, "prompt": str, "language": str}
KEYS |= {"backend": str, "executor": str, "sinks": list, "perceivers": list, "min_score": float, "image_tokens": int}
KEYS |= {"options": dict, "examples": list, "schema": dict, "tags": dict, "stages": list}
REQUIRED = ("name", "task", "model")
ASKED = ("prompt", "schema")
"""What a recipe must have besides, if it has no stages."""

IN_STAGES = (*ASKED, "examples")
"""What belongs into the stages of a recipe that has some."""


def mistakes(table: Mapping[str, Any], folder: FilePath = FilePath()) -> Iterator[Mistake]:
    """Yield everything in a recipe's table that cannot be used, in no order of lines.

    Args:
        table: The table.
        folder: Where the file of a vocabulary is looked for.
    """
    wrong: set[str | int] = set()
    for found in wrong_keys(table, KEYS, ()):
        wrong.add(found.path[0])
        yield found
    staged = "stages" in table
    for key in REQUIRED if staged else (*REQUIRED, *ASKED):
        if key not in table:
            yield mistake(key, message=f"`{key}` is missing")
    sound = {key: value for key, value in table.items() if key not in wrong}
    yield from _wrong_values(sound)
    for name in ("perceivers", "sinks"):
        yield from not_texts(sound.get(name, ()), (name,))
    asking = list(_staged(sound) if staged else question_mistakes(sound, ()))
    yield from asking
    if "tags" in sound and not any("schema" in found.path for found in asking):
        schema = _schema(sound, usable=not asking)
        if schema is not None:
            yield from _wrong_tags({**sound, "schema": schema}, folder)


def parse_recipe(table: Mapping[str, Any], folder: FilePath = FilePath()) -> Recipe:
    """Check a recipe's table and make a `Recipe` from it.

    Args:
        table: The table.
        folder: Where the file of a vocabulary is looked for.

    Raises:
        RecipeError: A key that is not known, missing, or of the wrong type.
        SchemaError: The schema is not a valid JSON Schema.
    """
    for found in mistakes(table, folder):
        raise found.error
    perceivers, options = table.get("perceivers"), table.get("options", {})
    stages = stages_of(table.get("stages", ()), options)
    return Recipe(
        name=table["name"],
        description=table.get("description", "").strip(),
        task=table["task"],
        model=table["model"],
        prompt="\n\n".join(stage.prompt for stage in stages) if stages else table["prompt"].strip(),
        schema=joined_schema([stage.schema for stage in stages]) if stages else schema_of(table["schema"]),
        language=table.get("language", "en"),
        sampling=sampling_of(options),
        examples=examples_of(table.get("examples", ())),
        perceivers=None if perceivers is None else tuple(perceivers),
        min_score=float(table.get("min_score", 0.0)),
        backend=table.get("backend", ""),
        image_tokens=table.get("image_tokens", 0),
        sinks=tuple(table.get("sinks", USUAL_SINKS)),
        executor=table.get("executor", USUAL_EXECUTOR),
        tagging=tagging_of(table["tags"], folder) if "tags" in table else None,
        stages=stages,
    )


def _schema(table: Mapping[str, Any], *, usable: bool) -> Mapping[str, Any] | None:
    """Return the schema of the whole answer; None where there is none, or where the stages are not `usable`."""
    if "stages" not in table:
        return table.get("schema")
    return joined_schema([stage["schema"] for stage in table["stages"]]) if usable else None


def _staged(table: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield what cannot be used of the questions of a recipe with stages."""
    for key in IN_STAGES:
        if key in table:
            hint = "move it into the stage that it belongs to"
            yield mistake(key, message=f"`{key}` stands beside `stages`", hint=hint)
    yield from question_mistakes({"options": table.get("options", {})}, ())
    if "stages" in table:
        yield from stage_mistakes(table["stages"])


def _wrong_values(table: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield values at the top of the table that have the right type and cannot be used."""
    language = table.get("language", "en")
    if not is_tag(language):
        hint = "write a tag like `en` or `zh-Hans`"
        yield mistake("language", message=f"`language` cannot be `{language}`", hint=hint)
    min_score, image_tokens = table.get("min_score", 0.0), table.get("image_tokens", 1)
    if not 0 <= min_score <= 1:
        yield mistake("min_score", message=f"`min_score` must be between 0 and 1, not `{min_score}`")
    if image_tokens < 1:
        yield mistake("image_tokens", message=f"`image_tokens` must be 1 or more, not `{image_tokens}`")


def _wrong_tags(table: Mapping[str, Any], folder: FilePath) -> Iterator[Mistake]:
    """Yield what is wrong in the table `[tags]` of a recipe whose schema can be used."""
    found = list(wrong_keys(table["tags"], TAGS, ("tags",)))
    wrong = {mistake.path[1] for mistake in found}
    sound = {key: value for key, value in table["tags"].items() if key not in wrong}
    found += not_texts(sound.get("stop", ()), ("tags", "stop"))
    found += [Mistake(("tags", *path), error) for path, error in tag_mistakes(sound, table["schema"], folder)]
    yield from found
    if not found:
        try:
            tagging_of(sound, folder).check(table["schema"], table.get("language", "en"))
        except RecipeError as error:
            yield Mistake(("tags", "from"), error)
