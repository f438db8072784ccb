"""What a request may ask for besides its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from olpipe.errors import UsageError, nearest
from olpipe.generation import Guidance, SamplingParams, Thinking, Tool, ToolChoice
from olpipe.guidance.schema import check_schema
from olpipe.model import ModelBundle
from olpipe.store import parameters

USUAL = SamplingParams(temperature=0.8, top_k=40, top_p=0.9, max_tokens=1024)
"""How tokens are picked unless the model or the request says otherwise: as Ollama does it."""

SERVED = replace(USUAL, max_tokens=8192)
"""The usual values of a server. Its clients expect that a model writes until it has ended its answer."""

_SAMPLING = frozenset(parameter.name for parameter in fields(SamplingParams))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks for. Whatever is not set has its usual value.

    Attributes:
        held_to: What the answer is held to; None leaves it free. `holding_to` makes it of a text.
        sampling: Changes to how tokens are picked, by the fields of `SamplingParams`.
        perceivers: Names of the perceivers whose evidence joins; None means those that the model's manifest names.
        language: The language of the values that evidence fills in, as a BCP 47 tag.
        think: Whether the model thinks before it answers.
        tools: What the model may call.
        tool_choice: Whether it may, must or must not call them.
        raw: Whether the text goes to the model as it is, without a chat template.
        suffix: Text that comes after the answer.
        top_logprobs: How many of the likeliest tokens to report beside each token.
        context_length: Most tokens of prompt plus answer; 0 takes what the model was loaded with.
        truncate: Whether the oldest messages are left out where the prompt is too long.
        template: A chat template in place of the model's own; empty takes that.
        usual: How tokens are picked where neither the request nor the model says so.
    """

    held_to: Guidance | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    perceivers: tuple[str, ...] | None = None
    language: str = "en"
    think: Thinking | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    raw: bool = False
    suffix: str | None = None
    top_logprobs: int | None = None
    context_length: int = 0
    truncate: bool = False
    template: str = ""
    usual: SamplingParams = USUAL

    def sampling_for(self, bundle: ModelBundle) -> SamplingParams:
        """Return how tokens are picked. The wishes come first, then the model's own parameters, then the usual values.

        Raises:
            StoreError: A parameter of the model cannot be used.
            UsageError: A wish names a parameter that does not exist.
        """
        unknown = sorted(self.sampling.keys() - _SAMPLING)
        if unknown:
            close = nearest(unknown[0], _SAMPLING, limit=1)
            hint = f"did you mean `{close[0]}`?" if close else None
            raise UsageError(f"there is no sampling parameter `{unknown[0]}`", hint=hint)
        return replace(parameters.sampling(bundle.parameters, self.usual), **self.sampling)


@lru_cache(maxsize=64)
def holding_to(format_: str) -> Guidance:
    """Return what holds an answer to `json`, or to the text of a JSON Schema. Equal schemas are checked once.

    Raises:
        SchemaError: The format is neither `json` nor a JSON Schema that an answer can be held to.
    """
    if format_ == "json":
        return Guidance("json")
    check_schema(format_)
    return Guidance("json_schema", format_)
