"""What a recipe's table may hold: every mistake in it, and the `Recipe` that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from olpipe.describing.recipe import USUAL_EXECUTOR, USUAL_SINKS, Recipe
from olpipe.describing.recipe_schema import schema_mistakes, schema_of
from olpipe.describing.recipe_tags import TAGS, tag_mistakes, tagging_of
from olpipe.describing.templates import check_prompt
from olpipe.errors import RecipeError, UsageError, nearest
from olpipe.generation import SamplingParams
from olpipe.languages import is_tag

Path = tuple[str | int, ...]
"""Where something stands in a recipe: names of keys and places in lists, from the top of the file."""

KEYS: dict[str, type] = {"name": str, "description": str, "task": str, "model": str, "prompt": str, "language": str}
KEYS |= {"backend": str, "executor": str, "sinks": list, "perceivers": list, "min_score": float, "image_tokens": int}
KEYS |= {"options": dict, "examples": list, "schema": dict, "tags": dict}
RENAMED = {"evidence": "perceivers"}
REQUIRED = ("name", "task", "model", "prompt", "schema")
OPTIONS: dict[str, type] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "typical_p": float,
    "repeat_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "penalty_window": int,
    "seed": int,
    "stop": list,
    "max_tokens": int,
}
RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_k": (0, None),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "repeat_penalty": (0.1, 10),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "penalty_window": (0, None),
    "seed": (0, None),
    "max_tokens": (1, None),
}
EXAMPLE: dict[str, type] = {"question": str, "answer": str}
TYPE_NAMES = {str: "a text", list: "a list", dict: "a table", float: "a number", int: "a whole number"}
TYPE_NAMES |= {bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a recipe that cannot be used.

    Attributes:
        path: The key that is wrong, or that is missing.
        error: What is wrong with it.
    """

    path: Path
    error: UsageError


def mistakes(table: Mapping[str, Any], folder: FilePath = FilePath()) -> Iterator[Mistake]:
    """Yield everything in a recipe's table that cannot be used, in no order of lines.

    Args:
        table: The table.
        folder: Where the file of a vocabulary is looked for.
    """
    wrong: set[str | int] = set()
    for mistake in _wrong_keys(table, KEYS, ()):
        wrong.add(mistake.path[0])
        yield mistake
    for key in REQUIRED:
        if key not in table:
            yield _mistake(key, message=f"`{key}` is missing")
    sound = {key: value for key, value in table.items() if key not in wrong}
    yield from _wrong_values(sound)
    for name in ("perceivers", "sinks"):
        yield from _not_texts(sound.get(name, ()), (name,))
    wrong_schema = list(schema_mistakes(sound["schema"])) if "schema" in sound else []
    for path, error in wrong_schema:
        yield Mistake(("schema", *path), error)
    yield from _wrong_options(sound.get("options", {}))
    for index, example in enumerate(sound.get("examples", ())):
        yield from _wrong_example(example, index)
    if "tags" in sound and "schema" in sound and not wrong_schema:
        yield from _wrong_tags(sound, folder)


def parse_recipe(table: Mapping[str, Any], folder: FilePath = FilePath()) -> Recipe:
    """Check a recipe's table and make a `Recipe` from it.

    Args:
        table: The table.
        folder: Where the file of a vocabulary is looked for.

    Raises:
        RecipeError: A key that is not known, missing, or of the wrong type.
        SchemaError: The schema is not a valid JSON Schema.
    """
    for mistake in mistakes(table, folder):
        raise mistake.error
    perceivers, options = table.get("perceivers"), table.get("options", {})
    values: dict[str, Any] = {key: float(value) if OPTIONS[key] is float else value for key, value in options.items()}
    values["stop"] = tuple(options.get("stop", ()))
    return Recipe(
        name=table["name"],
        description=table.get("description", "").strip(),
        task=table["task"],
        model=table["model"],
        prompt=table["prompt"].strip(),
        schema=schema_of(table["schema"]),
        language=table.get("language", "en"),
        sampling=SamplingParams(**values),
        examples=tuple((example["question"], example["answer"]) for example in table.get("examples", ())),
        perceivers=None if perceivers is None else tuple(perceivers),
        min_score=float(table.get("min_score", 0.0)),
        backend=table.get("backend", ""),
        image_tokens=table.get("image_tokens", 0),
        sinks=tuple(table.get("sinks", USUAL_SINKS)),
        executor=table.get("executor", USUAL_EXECUTOR),
        tagging=tagging_of(table["tags"], folder) if "tags" in table else None,
    )


def _mistake(*path: str | int, message: str, hint: str | None = None) -> Mistake:
    return Mistake(path, RecipeError(message, hint=hint))


def _wrong_keys(table: Mapping[str, Any], known: Mapping[str, type], path: Path) -> Iterator[Mistake]:
    """Yield keys that are not known and values of the wrong type."""
    for key, value in table.items():
        named = written((*path, key))
        if key not in known:
            close = [RENAMED[key]] if key in RENAMED and known is KEYS else nearest(key, known)
            hint = offer(close) or f"known: {', '.join(known)}"
            yield _mistake(*path, key, message=f"`{named}` is not known", hint=hint)
            continue
        expected = known[key]
        accepted = (float, int) if expected is float else expected
        if not isinstance(value, accepted) or isinstance(value, bool) is not (expected is bool):
            yield _mistake(*path, key, message=f"`{named}` must be {TYPE_NAMES[expected]}, not `{value}`")


def _wrong_values(table: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield values at the top of the table that have the right type and cannot be used."""
    language = table.get("language", "en")
    if not is_tag(language):
        hint = "write a tag like `en` or `zh-Hans`"
        yield _mistake("language", message=f"`language` cannot be `{language}`", hint=hint)
    min_score, image_tokens = table.get("min_score", 0.0), table.get("image_tokens", 1)
    if not 0 <= min_score <= 1:
        yield _mistake("min_score", message=f"`min_score` must be between 0 and 1, not `{min_score}`")
    if image_tokens < 1:
        yield _mistake("image_tokens", message=f"`image_tokens` must be 1 or more, not `{image_tokens}`")
    try:
        check_prompt(table.get("prompt", ""))
    except RecipeError as error:
        yield Mistake(("prompt",), error)


def _wrong_options(options: Mapping[str, Any]) -> Iterator[Mistake]:
    wrong: set[str | int] = set()
    for mistake in _wrong_keys(options, OPTIONS, ("options",)):
        wrong.add(mistake.path[1])
        yield mistake
    for key, (low, high) in RANGES.items():
        if key in wrong or key not in options:
            continue
        value = options[key]
        if not low <= value or (high is not None and not value <= high):
            expected = f"between {low} and {high}" if high is not None else f"{low} or more"
            yield _mistake("options", key, message=f"`options.{key}` must be {expected}, not `{value}`")
    if "stop" not in wrong:
        yield from _not_texts(options.get("stop", ()), ("options", "stop"))


def _wrong_example(example: Any, index: int) -> Iterator[Mistake]:
    path: Path = ("examples", index)
    if not isinstance(example, dict):
        yield _mistake(*path, message=f"`{written(path)}` must be a table, not `{example}`")
        return
    yield from _wrong_keys(example, EXAMPLE, path)
    for key in EXAMPLE:
        if key not in example:
            yield _mistake(*path, key, message=f"`{written((*path, key))}` is missing")


def _wrong_tags(table: Mapping[str, Any], folder: FilePath) -> Iterator[Mistake]:
    """Yield what is wrong in the table `[tags]` of a recipe whose schema can be used."""
    found = list(_wrong_keys(table["tags"], TAGS, ("tags",)))
    wrong = {mistake.path[1] for mistake in found}
    sound = {key: value for key, value in table["tags"].items() if key not in wrong}
    found += _not_texts(sound.get("stop", ()), ("tags", "stop"))
    found += [Mistake(("tags", *path), error) for path, error in tag_mistakes(sound, table["schema"], folder)]
    yield from found
    if not found:
        try:
            tagging_of(sound, folder).check(table["schema"], table.get("language", "en"))
        except RecipeError as error:
            yield Mistake(("tags", "from"), error)


def _not_texts(values: Any, path: Path) -> Iterator[Mistake]:
    for index, value in enumerate(values):
        if not isinstance(value, str):
            yield _mistake(*path, index, message=f"`{written(path)}` must hold texts, not `{value}`")


def written(path: Path) -> str:
    """Return a path as people write it: `examples[0].answer`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def offer(names: list[str]) -> str | None:
    """Return a hint that offers names; None where there are none."""
    return f"did you mean {' or '.join(f'`{name}`' for name in names)}?" if names else None
