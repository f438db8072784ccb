"""Ollama's options of a request as sampling parameters and load options."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olpipe.model import LoadOptions
from olpipe.server.bodies.fields import Fields
from olpipe.server.refusal import Refusal

MOST = (1 << 31) - 1
LEAST_CONTEXT = 4


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it is called here, and what it may be.

    Attributes:
        name: The field of `SamplingParams`, or of `LoadOptions`.
        kind: `int` or `float`.
        least: The smallest value.
        most: The largest value.
    """

    name: str
    kind: type
    least: float = -math.inf
    most: float = math.inf


SAMPLING = {
    "temperature": Option("temperature", float, 0, 100),
    "top_k": Option("top_k", int, -1, MOST),
    "top_p": Option("top_p", float, 0, 1),
    "min_p": Option("min_p", float, 0, 1),
    "typical_p": Option("typical_p", float, 0, 1),
    "repeat_penalty": Option("repeat_penalty", float, 0, 100),
    "presence_penalty": Option("presence_penalty", float, -100, 100),
    "frequency_penalty": Option("frequency_penalty", float, -100, 100),
    "repeat_last_n": Option("penalty_window", int, -1, MOST),
    "seed": Option("seed", int, -(1 << 63), (1 << 64) - 1),
    "num_predict": Option("max_tokens", int, -2, MOST),
}
LOADING = {
    "num_ctx": Option("context_length", int, 0, MOST),
    "num_thread": Option("threads", int, 0, 4096),
    "image_tokens": Option("image_tokens", int, 0, MOST),
}
WITHOUT_EFFECT = frozenset(
    ("num_keep", "num_batch", "num_gpu", "main_gpu", "use_mmap", "draft_num_predict", "numa", "low_vram", "vocab_only",
     "use_mlock", "f16_kv", "logits_all", "penalize_newline", "mirostat", "mirostat_eta", "mirostat_tau", "tfs_z")
)  # fmt: skip
"""Ollama takes these, and they change nothing here."""
BESIDE = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "num_predict"}
"""What some clients write beside `options`, and which option they mean. Ollama reads none of them.

Source: https://github.com/nordwestt/ollama-ai-provider-v2
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request.

    Attributes:
        sampling: Changes to how tokens are picked, by the fields of `SamplingParams`.
        load: How the model is loaded.
        unknown: Names that mean nothing, neither here nor to Ollama.
    """

    sampling: Mapping[str, Any] = field(default_factory=dict)
    load: LoadOptions = field(default_factory=LoadOptions)
    unknown: tuple[str, ...] = ()


def read_options(fields: Fields | None) -> Options:
    """Read the object `options`.

    Raises:
        Refusal: A value is of the wrong type, or out of its range.
    """
    if fields is None:
        return Options()
    sampling: dict[str, Any] = {}
    loading: dict[str, Any] = {}
    unknown = []
    for name, value in fields.values.items():
        if value is None:
            continue
        if name == "stop":
            sampling["stop"] = _stop(value)
        elif name in SAMPLING:
            sampling[SAMPLING[name].name] = _value(name, SAMPLING[name], value)
        elif name in LOADING:
            loading[LOADING[name].name] = _value(name, LOADING[name], value)
        elif name not in WITHOUT_EFFECT:
            unknown.append(name)
    return Options(_usable(sampling), LoadOptions(**loading), tuple(unknown))


def read_request_options(fields: Fields) -> Options:
    """Read the options of a request, and what some clients write beside them. Where both are there, `options` counts.

    Raises:
        Refusal: As in `read_options`.
    """
    beside = {option: fields.any(name) for name, option in BESIDE.items()}
    inner = fields.inner("options")
    return read_options(Fields({**beside, **(inner.values if inner is not None else {})}))


def _value(name: str, option: Option, value: Any) -> float | int:
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    if wrong or (option.kind is int and not float(value).is_integer()):
        raise Refusal(400, f'option "{name}" must be of type {"integer" if option.kind is int else "float32"}')
    if not option.least <= value <= option.most:
        raise Refusal(400, f'option "{name}" cannot be {value}: it must be {_range(option)}')
    return int(value) if option.kind is int else float(value)


def _range(option: Option) -> str:
    return f"between {option.least:g} and {option.most:g}" if option.most < MOST else f"at least {option.least:g}"


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, 'option "stop" must be of type array')
    return tuple(text for text in texts if text)


def _usable(sampling: dict[str, Any]) -> dict[str, Any]:
    """Return Ollama's values for `no limit` and `none` as ours."""
    if sampling.get("max_tokens", 1) < 1:  # 0, -1 and -2: until the model ends, or the context is full
        sampling["max_tokens"] = MOST
    if sampling.get("penalty_window", 0) < 0:  # the whole context
        sampling["penalty_window"] = sys.maxsize
    if sampling.get("top_k", 0) < 0:
        sampling["top_k"] = 0
    if sampling.get("repeat_penalty", 1.0) == 0:
        sampling["repeat_penalty"] = 1.0
    if sampling.get("seed", 0) < 0:  # another seed each time
        sampling["seed"] = None
    return sampling
