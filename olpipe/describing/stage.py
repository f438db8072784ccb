"""The stages of a recipe: several questions about one photo, whose answers make one record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from olpipe.describing.templates import UNKNOWN, cleaned
from olpipe.generation import SamplingParams, Timings, Usage
from olpipe.guidance.dialect import DEFINITIONS

TOP_KEYWORDS = ("type", "properties", "required", "additionalProperties", "title", "description", *DEFINITIONS)
"""What may stand at the top of a stage's schema. All of these can be put together with those of other stages."""

LONGEST_VALUE = 1000
"""Most characters of an earlier answer that are written in a prompt. A longer one ends with `…`."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One question of a recipe.

    Attributes:
        name: How prompts of later stages and messages call it.
        prompt: What is asked. It may name what earlier stages answered, like `{facts.colours}`.
        schema: JSON Schema of the answer, which is an object.
        sampling: How tokens are picked.
        examples: (question, answer) pairs shown before the photo.
    """

    name: str
    prompt: str
    schema: Mapping[str, Any]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    examples: tuple[tuple[str, str], ...] = ()

    def to_key(self) -> list[Any]:
        """Return what a recipe's key says of it. Usual values are left out, as `Recipe.key` does."""
        usual = asdict(SamplingParams())
        sampling = {name: value for name, value in asdict(self.sampling).items() if value != usual[name]}
        return [self.name, self.prompt, self.schema, sampling, self.examples]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered to one question.

    Attributes:
        stage: The stage that asked; empty for a recipe without stages.
        value: The answer as its task reads it: a document where JSON was asked for, else the text.
        usage: How many tokens there were.
        timings: Where the model's time went.
        truncated: Whether the answer was cut short.
        ground_ns: Time to make the request, and to look at the photo.
    """

    stage: str
    value: Any
    usage: Usage
    timings: Timings
    truncated: bool
    ground_ns: int


def joined_schema(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the schema of the document that the documents of some schemas make together.

    Args:
        schemas: Schemas of objects, which have only `TOP_KEYWORDS` at their top, and no property in common. What they
            call definitions is the same where the names are.
    """
    joined: dict[str, Any] = {"type": "object"}
    if all(schema.get("additionalProperties") is False for schema in schemas):
        joined["additionalProperties"] = False
    required = [name for schema in schemas for name in schema.get("required", ())]
    if required:
        joined["required"] = required
    joined["properties"] = _together(schema.get("properties", {}) for schema in schemas)
    for word in DEFINITIONS:
        if found := _together(schema.get(word, {}) for schema in schemas):
            joined[word] = found
    return joined


def joined_value(stages: Sequence[Stage], answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the document that the answers of all stages make together.

    A schema may allow more properties than it names. Where one of these belongs to another stage, that stage's counts.

    Raises:
        TypeError: An answer is no object.
    """
    owned = {name for stage in stages for name in stage.schema.get("properties", {})}
    joined: dict[str, Any] = {}
    for stage, answer in zip(stages, answers, strict=True):
        if not isinstance(answer.value, Mapping):
            raise TypeError(f"its request in the stage `{stage.name}` asked for no object")
        own = stage.schema.get("properties", {})
        joined |= {name: value for name, value in answer.value.items() if name in own or name not in owned}
    return joined


def places(stages: Iterable[Stage]) -> list[str]:
    """Return the names by which prompts call what stages answer: `facts.colours`."""
    return [f"{stage.name}.{name}" for stage in stages for name in stage.schema.get("properties", {})]


def told_answers(answers: Iterable[Answer]) -> dict[str, str]:
    """Return what prompts say of answers, by the names of `places`. What was not answered is missing."""
    return {
        f"{answer.stage}.{name}": _told(value)
        for answer in answers
        if isinstance(answer.value, Mapping)
        for name, value in answer.value.items()
    }


def _told(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cleaned(text, longest=LONGEST_VALUE)


def _together(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
