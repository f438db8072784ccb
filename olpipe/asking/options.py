"""Ollama's options by their names, as sampling parameters and load options."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from olpipe.errors import UsageError
from olpipe.model import LoadOptions
from olpipe.store.parameters import SPELLINGS

MOST = (1 << 31) - 1


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

    @property
    def range(self) -> str:
        """Which values it may have, in words."""
        return f"between {self.least:g} and {self.most:g}" if self.most < MOST else f"at least {self.least:g}"


_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_k": (-1, MOST),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "repeat_penalty": (0, 100),
    "presence_penalty": (-100, 100),
    "frequency_penalty": (-100, 100),
    "repeat_last_n": (-1, MOST),
    "seed": (-(1 << 63), (1 << 64) - 1),
    "num_predict": (-2, MOST),
}
SAMPLING: Mapping[str, Option] = {name: Option(*SPELLINGS[name], *_RANGES[name]) for name in SPELLINGS}
LOADING: Mapping[str, Option] = {
    "num_ctx": Option("context_length", int, 0, MOST),
    "num_thread": Option("threads", int, 0, 4096),
    "image_tokens": Option("image_tokens", int, 0, MOST),
}
STOP = "stop"
WITHOUT_EFFECT = frozenset(
    ("num_keep", "num_batch", "num_gpu", "main_gpu", "use_mmap", "draft_num_predict", "numa", "low_vram", "vocab_only",
     "use_mlock", "f16_kv", "logits_all", "penalize_newline", "mirostat", "mirostat_eta", "mirostat_tau", "tfs_z")
)  # fmt: skip
"""Ollama takes these, and they change nothing here."""


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


def options_of(values: Mapping[str, Any]) -> Options:
    """Read options by their names in Ollama. What is None counts as missing.

    Raises:
        UsageError: A value is of the wrong type, or out of its range.
    """
    sampling: dict[str, Any] = {}
    loading: dict[str, Any] = {}
    unknown = []
    for name, value in values.items():
        if value is None:
            continue
        if name == STOP:
            sampling[STOP] = _texts(value)
        elif name in SAMPLING:
            sampling[SAMPLING[name].name] = _number(name, SAMPLING[name], value)
        elif name in LOADING:
            loading[LOADING[name].name] = _number(name, LOADING[name], value)
        elif name not in WITHOUT_EFFECT:
            unknown.append(name)
    return Options(_usable(sampling), LoadOptions(**loading), tuple(unknown))


def option_from_words(name: str, words: Sequence[str]) -> Any:
    """Read the value of one option as people write it.

    Args:
        name: The option's name in Ollama.
        words: At least one word. Only `stop` takes several. The last one counts for any other option, as in Ollama.

    Returns:
        A value that `options_of` takes. That of an option without effect is the text.

    Raises:
        UsageError: There is no such option, or it cannot have this value. The message is Ollama's, where it has one.
    """
    if name == STOP:
        return list(words)
    if name in WITHOUT_EFFECT:
        return words[-1]
    option = SAMPLING.get(name) or LOADING.get(name)
    if option is None:
        raise UsageError(f"unknown parameter '{name}'")
    try:
        value = option.kind(words[-1])
    except ValueError as error:
        raise UsageError(f"invalid {option.kind.__name__} value [{' '.join(words)}]") from error
    if not option.least <= value <= option.most:
        raise UsageError(f"{name} cannot be {words[-1]}: it must be {option.range}")
    return value


def options_for(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling parameters by the names that they have in Ollama."""
    names = {option.name: name for name, option in SAMPLING.items()}
    given = {names.get(name, name): value for name, value in sampling.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _number(name: str, option: Option, value: Any) -> float | int:
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    if wrong or (option.kind is int and not float(value).is_integer()):
        raise UsageError(f'option "{name}" must be of type {"integer" if option.kind is int else "float32"}')
    if not option.least <= value <= option.most:
        raise UsageError(f'option "{name}" cannot be {value}: it must be {option.range}')
    return int(value) if option.kind is int else float(value)


def _texts(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError('option "stop" must be of type array')
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
