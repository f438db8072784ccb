"""The tables `[[stages]]` of a recipe: what may stand in them, every mistake in them, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from olpipe.describing.recipe_mistake import Mistake, Path, mistake, written, wrong_keys
from olpipe.describing.recipe_question import examples_of, question_mistakes, sampling_of
from olpipe.describing.recipe_schema import schema_of
from olpipe.describing.stage import TOP_KEYWORDS, Stage
from olpipe.describing.templates import FIELDS
from olpipe.guidance.dialect import DEFINITIONS

STAGE: dict[str, type] = {"name": str, "prompt": str, "options": dict, "examples": list, "schema": dict}
REQUIRED = ("name", "prompt", "schema")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = frozenset(name.partition(".")[0] for name in FIELDS)


def stage_mistakes(stages: Sequence[Any]) -> Iterator[Mistake]:
    """Yield everything in the stages of a recipe that cannot be used."""
    if not stages:
        yield mistake("stages", message="`stages` is empty", hint="write a table `[[stages]]` for each question")
    before: list[Mapping[str, Any]] = []
    for index, stage in enumerate(stages):
        path: Path = ("stages", index)
        if not isinstance(stage, dict):
            yield mistake(*path, message=f"`{written(path)}` must be a table, not `{stage}`")
            continue
        wrong = list(wrong_keys(stage, STAGE, path))
        yield from wrong
        for key in REQUIRED:
            if key not in stage:
                yield mistake(*path, key, message=f"`{written((*path, key))}` is missing")
        sound = {key: value for key, value in stage.items() if (*path, key) not in {found.path for found in wrong}}
        yield from _wrong_name(sound, path, [other.get("name") for other in before])
        answers = [f"{other.get('name')}.{name}" for other in before for name in _part(other, "properties")]
        wrong = list(question_mistakes(sound, path, answers))
        yield from wrong
        if "schema" in sound and not any(found.path[2] == "schema" for found in wrong):
            yield from _wrong_schema(sound["schema"], (*path, "schema"))
        yield from _taken(sound, path, before)
        before.append(sound)


def stages_of(stages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return stages in which nothing is wrong.

    Args:
        stages: Their tables.
        options: The options of the recipe, which hold where a stage has no other.
    """
    return tuple(
        Stage(
            name=stage["name"],
            prompt=stage["prompt"].strip(),
            schema=schema_of(stage["schema"]),
            sampling=sampling_of({**options, **stage.get("options", {})}),
            examples=examples_of(stage.get("examples", ())),
        )
        for stage in stages
    )


def _wrong_name(stage: Mapping[str, Any], path: Path, before: Sequence[Any]) -> Iterator[Mistake]:
    name = stage.get("name")
    if name is None:
        return
    if not _NAME.fullmatch(name):
        hint = "use lower-case letters, digits and `_`; the first one is a letter"
        yield mistake(*path, "name", message=f"a stage cannot be called `{name}`", hint=hint)
    elif name in _TAKEN:
        hint = f"prompts have `{{{next(field for field in FIELDS if field.partition('.')[0] == name)}}}` already"
        yield mistake(*path, "name", message=f"a stage cannot be called `{name}`", hint=hint)
    elif name in before:
        yield mistake(*path, "name", message=f"two stages are called `{name}`", hint="give each its own name")


def _wrong_schema(schema: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    """Yield what keeps a schema, which is valid, from being put together with others."""
    for word in (word for word in schema if word not in TOP_KEYWORDS):
        hint = f"a stage's schema has only these at its top: {', '.join(TOP_KEYWORDS)}"
        message = f"`{word}` cannot be put together with the schemas of other stages"
        yield mistake(*path, word, message=message, hint=hint)
    if schema.get("type", "object") != "object":
        message = "the answer of a stage must be an object"
        yield mistake(*path, "type", message=message, hint='write `type = "object"`')
    elif not schema.get("properties"):
        yield mistake(*path, message="the schema of a stage must have `properties`")


def _taken(stage: Mapping[str, Any], path: Path, before: Sequence[Mapping[str, Any]]) -> Iterator[Mistake]:
    """Yield the properties that an earlier stage has, too, and definitions that mean something else there."""
    for name in _part(stage, "properties"):
        for owner in [other.get("name") for other in before if name in _part(other, "properties")][:1]:
            message = f"the stage `{owner}` has a property `{name}`, too"
            hint = "each property belongs to one stage: leave it out of one of them, or rename it"
            yield mistake(*path, "schema", "properties", name, message=message, hint=hint)
    for word in DEFINITIONS:
        for name, meaning in _part(stage, word).items():
            owner = next(
                (other.get("name") for other in before if _part(other, word).get(name, meaning) != meaning), None
            )
            if owner is not None:
                message = f"`{word}.{name}` means something else in the stage `{owner}`"
                yield mistake(*path, "schema", word, name, message=message, hint="rename one of them")


def _part(stage: Mapping[str, Any], word: str) -> Mapping[str, Any]:
    """Return a table of a stage's schema, which may not be valid; an empty one where there is none."""
    schema = stage.get("schema")
    part = schema.get(word) if isinstance(schema, Mapping) else None
    return part if isinstance(part, Mapping) else {}
