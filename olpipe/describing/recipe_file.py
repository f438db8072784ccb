"""Read a recipe from its TOML file, given by its name or by path."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import olpipe
from olpipe.describing.recipe import USUAL_EXECUTOR, USUAL_SINKS, Recipe
from olpipe.errors import RecipeError, SchemaError, nearest
from olpipe.generation import SamplingParams
from olpipe.guidance.schema import check_schema
from olpipe.languages import is_tag

KEYS: dict[str, type] = {"name": str, "task": str, "model": str, "prompt": str, "language": str}
KEYS |= {"backend": str, "executor": str, "sinks": list, "perceivers": list, "min_score": float, "image_tokens": int}
KEYS |= {"options": dict, "examples": list, "schema": dict}
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
RANGES = {
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
TYPE_NAMES = {str: "a text", list: "a list", dict: "a table", float: "a number", int: "a whole number"}


def read_recipe(name_or_path: str, folder: Path | None = None) -> Recipe:
    """Read a recipe by its name, or any recipe by its path.

    Args:
        name_or_path: A text that ends in `.toml`, or has a slash in it, is a path.
        folder: The folder of the user's own recipes, which have names, too.

    Raises:
        RecipeError: There is none of that name, or the file cannot be used. The message says where in it.
        SchemaError: Its schema is not a valid JSON Schema.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml" or os.sep in name_or_path or "/" in name_or_path:
        if not path.is_file():
            close = nearest(path.name, (found.name for found in path.parent.glob("*.toml")))
            raise RecipeError(f"there is no recipe `{name_or_path}`", hint=_offer(close))
    else:
        path = _named(name_or_path, folder, "; or give the path of a file")
    return _read(path, str(path))


def named_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Read a recipe by its name only. No file is opened but those of `named_recipes`, and no message tells a path.

    Args:
        name: The name.
        folder: The folder of the user's own recipes.

    Raises:
        RecipeError: There is none of that name, or the file cannot be used.
        SchemaError: Its schema is not a valid JSON Schema.
    """
    return _read(_named(name, folder), name)


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


def parse_recipe(table: Mapping[str, Any]) -> Recipe:
    """Check a recipe's table and make a `Recipe` from it.

    Raises:
        RecipeError: A key that is not known, missing, or of the wrong type.
        SchemaError: The schema is not a valid JSON Schema.
    """
    _check(table, KEYS, "")
    for key in REQUIRED:
        if key not in table:
            raise RecipeError(f"`{key}` is missing")
    language = table.get("language", "en")
    if not is_tag(language):
        raise RecipeError(f"`language` cannot be `{language}`", hint="write a tag like `en` or `zh-Hans`")
    min_score = table.get("min_score", 0.0)
    if not 0 <= min_score <= 1:
        raise RecipeError(f"`min_score` must be between 0 and 1, not `{min_score}`")
    image_tokens = table.get("image_tokens")
    if image_tokens is not None and image_tokens < 1:
        raise RecipeError(f"`image_tokens` must be 1 or more, not `{image_tokens}`")
    perceivers = table.get("perceivers")
    return Recipe(
        name=table["name"],
        task=table["task"],
        model=table["model"],
        prompt=table["prompt"].strip(),
        schema=check_schema(json.dumps(table["schema"], default=_not_json)),
        language=language,
        sampling=_sampling(table.get("options", {})),
        examples=tuple(_example(example, index) for index, example in enumerate(table.get("examples", ()))),
        perceivers=None if perceivers is None else _texts(perceivers, "perceivers"),
        min_score=float(min_score),
        backend=table.get("backend", ""),
        image_tokens=image_tokens or 0,
        sinks=_texts(table.get("sinks", list(USUAL_SINKS)), "sinks"),
        executor=table.get("executor", USUAL_EXECUTOR),
    )


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
        hint = _offer(nearest(name, known)) or f"known: {', '.join(known)}{otherwise}"
        raise RecipeError(f"there is no recipe `{name}`", hint=hint)
    return known[name]


def _read(path: Path, shown: str) -> Recipe:
    """Read a recipe's file. Messages call it `shown`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"recipe `{shown}` cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe `{shown}` is not valid TOML: {error}") from error
    try:
        return parse_recipe(table)
    except (RecipeError, SchemaError) as error:
        raise type(error)(f"recipe `{shown}`: {error.message}", hint=error.hint) from error


def _offer(names: Iterable[str]) -> str | None:
    names = [f"`{name}`" for name in names]
    return f"did you mean {' or '.join(names)}?" if names else None


def _check(table: Mapping[str, Any], known: Mapping[str, type], where: str) -> None:
    """Refuse keys that are not known and values of the wrong type."""
    for key, value in table.items():
        if key not in known:
            hint = _offer([RENAMED[key]] if key in RENAMED else nearest(key, known)) or f"known: {', '.join(known)}"
            raise RecipeError(f"`{where}{key}` is not known", hint=hint)
        expected = known[key]
        accepted = (float, int) if expected is float else expected
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise RecipeError(f"`{where}{key}` must be {TYPE_NAMES[expected]}, not `{value}`")


def _sampling(options: Mapping[str, Any]) -> SamplingParams:
    _check(options, OPTIONS, "options.")
    for key, (low, high) in RANGES.items():
        if key in options and not low <= options[key] <= (high if high is not None else options[key]):
            expected = f"between {low} and {high}" if high is not None else f"{low} or more"
            raise RecipeError(f"`options.{key}` must be {expected}, not `{options[key]}`")
    values: dict[str, Any] = {key: float(value) if OPTIONS[key] is float else value for key, value in options.items()}
    values["stop"] = _texts(options.get("stop", []), "options.stop")
    return SamplingParams(**values)


def _example(example: Any, index: int) -> tuple[str, str]:
    where = f"examples[{index}]"
    if not isinstance(example, dict):
        raise RecipeError(f"`{where}` must be a table, not `{example}`")
    _check(example, {"question": str, "answer": str}, f"{where}.")
    for key in ("question", "answer"):
        if key not in example:
            raise RecipeError(f"`{where}.{key}` is missing")
    return example["question"], example["answer"]


def _texts(values: list[Any], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise RecipeError(f"`{where}` must hold texts, not `{value}`")
    return tuple(values)


def _not_json(value: object) -> object:
    raise RecipeError(f"`schema` holds `{value}`, which JSON cannot hold")
