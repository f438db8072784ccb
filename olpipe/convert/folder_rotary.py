"""Read what a `config.json` says about rotary positions, as what a GGUF file says and holds for the same decoder.

Older files have `rope_theta` and `rope_scaling`, newer ones have both in `rope_parameters`. A Gemma 3 has two bases:
one for layers that attend to all tokens, and one for layers with a window.
Source: https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_rope_utils.py
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.gguf import shown
from olpipe.convert.model_folder import ConfigFile
from olpipe.errors import ModelCorrupt, ModelUnsupported

Floats: TypeAlias = npt.NDArray[np.float32]

_FULL, _LOCAL = "full_attention", "sliding_attention"
_MAX_FACTORS = 1024


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotary positions.

    Attributes:
        metadata: What a GGUF file says about them. The keys do not have the architecture in front.
        tensors: What rotary frequencies are divided by, by the names of tensors in GGUF files.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, Floats] = field(default_factory=dict)


def read_rotary(config: ConfigFile, head_size: int, *, default_base: float, factor_lists: bool) -> Rotary:
    """Read them.

    Args:
        config: The configuration.
        head_size: The width of one head.
        default_base: The base of rotary frequencies where the configuration does not say it.
        factor_lists: Whether the decoder may have a list of factors for each frequency (`longrope`).

    Raises:
        ModelCorrupt: Something is missing or makes no sense.
        ModelUnsupported: Positions are scaled in a way that cannot be converted.
    """
    newer = _object(config, "rope_parameters")
    local = newer.get(_LOCAL)
    newer = newer.get(_FULL, newer) if isinstance(newer.get(_FULL, newer), dict) else {}
    said = ConfigFile(config.path, {**config.values, **_object(config, "rope_scaling"), **newer})
    local_base = ConfigFile(config.path, local if isinstance(local, dict) else {}).positive(
        "rope_theta", config.positive("rope_local_base_freq", 10000.0)
    )
    part = said.positive("partial_rotary_factor", 1.0)
    if part != 1:
        raise ModelUnsupported(f"`{config.path}` says `partial_rotary_factor` is {part:g}; only 1 is converted")
    metadata: dict[str, Any] = {
        "rope.dimension_count": head_size,
        "rope.freq_base": said.positive("rope_theta", default_base),
        "rope.freq_base_swa": local_base,
        "rope.scaling.type": "none",
    }
    kind = said.text("rope_type", said.text("type", "default"))
    if kind == "linear":
        return Rotary(metadata | {"rope.scaling.type": "linear", "rope.scaling.factor": said.positive("factor", 1.0)})
    if kind == "llama3":
        factors = _llama3_factors(said, head_size, metadata["rope.freq_base"])
        return Rotary(metadata, {"rope_freqs.weight": factors})
    if kind in ("longrope", "su") and factor_lists:
        return _longrope(said, head_size, metadata)
    if kind != "default":
        kinds = ["linear", "llama3", *(["longrope"] if factor_lists else [])]
        message = f"`{config.path}` scales its rotary positions by `{shown(kind)}`, which cannot be converted"
        raise ModelUnsupported(message, hint=f"these can be converted: {', '.join(kinds)}")
    return Rotary(metadata)


def _object(config: ConfigFile, key: str) -> Mapping[str, Any]:
    """Return an object of the configuration; empty where there is none."""
    value = config.values.get(key)
    if value is not None and not isinstance(value, dict):
        raise ModelCorrupt(f"`{config.path}` says `{key}` is not an object")
    return value or {}


def _llama3_factors(said: ConfigFile, head_size: int, base: float) -> Floats:
    """Return what frequencies are divided by, (head_size / 2,): nothing changes for short waves, and all for long ones.

    Source: `_compute_llama3_parameters` in transformers
    """
    factor = said.positive("factor", 8.0)
    low, high = said.positive("low_freq_factor", 1.0), said.positive("high_freq_factor", 4.0)
    trained = said.size("original_max_position_embeddings", 8192)
    if low >= high:
        raise ModelCorrupt(f"`{said.path}` says `low_freq_factor` is {low:g}, and `high_freq_factor` {high:g}")
    waves = 2 * math.pi * base ** (np.arange(0, head_size, 2) / head_size)  # (head_size / 2,), in tokens
    between = ((trained / waves - low) / (high - low)).clip(0, 1)  # 1 for short waves, 0 for long ones
    factors: Floats = (1 / ((1 - between) / factor + between)).astype(np.float32)
    return factors


def _longrope(said: ConfigFile, head_size: int, metadata: dict[str, Any]) -> Rotary:
    """Return positions with one list of factors for short contexts and one for long ones."""
    longest = said.size("max_position_embeddings")
    trained = said.size("original_max_position_embeddings", longest)
    growth = max(1.0, longest / trained)
    usual = math.sqrt(1 + math.log(growth) / math.log(trained)) if growth > 1 and trained > 1 else 1.0
    metadata |= {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": trained,
        "rope.scaling.attn_factor": said.positive("attention_factor", usual),
    }
    tensors = {
        f"rope_factors_{length}.weight": _factors(said, f"{length}_factor", head_size // 2)
        for length in ("long", "short")
    }
    return Rotary(metadata, tensors)


def _factors(said: ConfigFile, key: str, count: int) -> Floats:
    value = said.values.get(key)
    sound = isinstance(value, list) and len(value) == count <= _MAX_FACTORS
    if not sound or not all(type(one) in (int, float) and 1e-6 < one < 1e6 for one in value or ()):
        raise ModelCorrupt(f"`{said.path}` has no list `{key}` of {count} positive numbers")
    return np.array(value, np.float32)
