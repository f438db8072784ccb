"""What a recipe says of one question: its prompt, schema, options and examples. A stage is such a question, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from olpipe.describing.recipe_mistake import Mistake, Path, mistake, not_texts, written, wrong_keys
from olpipe.describing.recipe_schema import schema_mistakes
from olpipe.describing.templates import check_prompt
from olpipe.errors import RecipeError
from olpipe.generation import SamplingParams

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


def question_mistakes(table: Mapping[str, Any], path: Path, answers: Sequence[str] = ()) -> Iterator[Mistake]:
    """Yield everything in a question that cannot be used.

    Args:
        table: Those of its keys that are known and of the right type.
        path: Where it stands.
        answers: Names of what earlier stages answer. The prompt may name them.
    """
    try:
        check_prompt(table.get("prompt", ""), answers)
    except RecipeError as error:
        yield Mistake((*path, "prompt"), error)
    if "schema" in table:
        for place, wrong in schema_mistakes(table["schema"]):
            yield Mistake((*path, "schema", *place), wrong)
    yield from _wrong_options(table.get("options", {}), (*path, "options"))
    for index, example in enumerate(table.get("examples", ())):
        yield from _wrong_example(example, (*path, "examples", index))


def sampling_of(options: Mapping[str, Any]) -> SamplingParams:
    """Return how tokens are picked, given options in which nothing is wrong."""
    values: dict[str, Any] = {key: float(value) if OPTIONS[key] is float else value for key, value in options.items()}
    return SamplingParams(**values | {"stop": tuple(options.get("stop", ()))})


def examples_of(examples: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return examples as (question, answer) pairs."""
    return tuple((example["question"], example["answer"]) for example in examples)


def _wrong_options(options: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    wrong: set[str | int] = set()
    for found in wrong_keys(options, OPTIONS, path):
        wrong.add(found.path[-1])
        yield found
    for key, (low, high) in RANGES.items():
        if key in wrong or key not in options:
            continue
        value = options[key]
        if not low <= value or (high is not None and not value <= high):
            expected = f"between {low} and {high}" if high is not None else f"{low} or more"
            named = written((*path, key))
            yield mistake(*path, key, message=f"`{named}` must be {expected}, not `{value}`")
    if "stop" not in wrong:
        yield from not_texts(options.get("stop", ()), (*path, "stop"))


def _wrong_example(example: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(example, dict):
        yield mistake(*path, message=f"`{written(path)}` must be a table, not `{example}`")
        return
    yield from wrong_keys(example, EXAMPLE, path)
    for key in EXAMPLE:
        if key not in example:
            yield mistake(*path, key, message=f"`{written((*path, key))}` is missing")
