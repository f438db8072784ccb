"""A manifest's `params` layer, in Ollama's spelling, as sampling parameters."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from olpipe.errors import StoreError
from olpipe.generation import SamplingParams

SPELLINGS: Mapping[str, tuple[str, type]] = {
    "temperature": ("temperature", float),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "typical_p": ("typical_p", float),
    "repeat_penalty": ("repeat_penalty", float),
    "presence_penalty": ("presence_penalty", float),
    "frequency_penalty": ("frequency_penalty", float),
    "repeat_last_n": ("penalty_window", int),
    "seed": ("seed", int),
    "num_predict": ("max_tokens", int),
}
"""The field of `SamplingParams` and the type for each of Ollama's names. `stop` is no number, so it is left out."""


def sampling(parameters: Mapping[str, Any], base: SamplingParams) -> SamplingParams:
    """Return `base`, changed by a model's own parameters; those that are not about sampling are left out.

    Raises:
        StoreError: A parameter is not a number, or not a list of texts, where it must be.
    """
    changes: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "stop":
            changes["stop"] = _texts(value)
        elif name in SPELLINGS:
            field, kind = SPELLINGS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise StoreError(f"the model's parameter `{name}` cannot be `{value}`", hint="it must be a number")
            changes[field] = kind(value)
    if changes.get("max_tokens", 1) < 1:  # means no limit to Ollama
        del changes["max_tokens"]
    if changes.get("penalty_window", 0) < 0:  # means the whole context to Ollama
        changes["penalty_window"] = sys.maxsize
    return replace(base, **changes)


def context_length(parameters: Mapping[str, Any]) -> int:
    """Return the context length that a model's own parameters ask for; 0 where they ask for none.

    Raises:
        StoreError: It is not a whole number.
    """
    value = parameters.get("num_ctx") or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise StoreError(f"the model's parameter `num_ctx` cannot be `{value}`", hint="it must be a number of tokens")
    return int(value)


def _texts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise StoreError(f"the model's parameter `stop` cannot be `{value}`", hint="it must be a list of texts")
    return tuple(texts)
