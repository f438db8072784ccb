"""Estimate how much memory a model needs, from its files alone.

The weights take about as much memory as their files. Keys and values of one sequence take
`2 x layers x heads x head size x bytes of a value` for each token. A runtime also needs memory for what it computes
meanwhile, which no file tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olpipe.checkup.shelf import folder_size
from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.model import ModelBundle
from olpipe.settings import Settings
from olpipe.store import parameters
from olpipe.store.model_info import model_info
from olpipe.store.package_checks import CONFIG_NAME, read_config

_VALUE_BYTES = 4
"""Converted models keep keys and values as float32. A package of others may keep them as float16, in half of that."""

_KNOWN = ("onnx", "ort-genai")
"""The backends of which it is known how they keep keys and values."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much memory a model is thought to need, in bytes.

    Attributes:
        weights: What its weights take.
        cache: What keys and values of one request take at most; None where that is not known.
        context: With how many tokens it is loaded; 0 where that is not known.
    """

    weights: int
    cache: int | None
    context: int

    @property
    def total(self) -> int:
        """All that is known."""
        return self.weights + (self.cache or 0)


@dataclass(frozen=True, slots=True)
class _Decoder:
    """The sizes of a decoder that its KV cache depends on."""

    layers: int
    kv_heads: int
    head_size: int
    context_length: int = 0


def estimate(bundle: ModelBundle, backend: str, settings: Settings) -> Estimate:
    """Estimate how much memory a model needs when a backend runs it.

    Args:
        bundle: The model.
        backend: The name of the backend.
        settings: The context that models are loaded with.
    """
    package = _built(bundle, backend)
    weights = bundle.size_bytes if package is None else folder_size(package)
    if "completion" not in bundle.config.capabilities:
        return Estimate(weights, 0, bundle.config.context_length)  # an embedding model keeps nothing between requests
    decoder = _decoder(bundle, package)
    longest = (decoder.context_length if decoder else 0) or bundle.config.context_length
    usual, own = settings.context_length, parameters.context_length(bundle.parameters)
    wanted = max(usual, own) if usual else longest
    context = min(wanted, longest) if longest else wanted
    if decoder is None or backend not in _KNOWN or not context:
        return Estimate(weights, None, context)
    values = 2 * decoder.layers * decoder.kv_heads * decoder.head_size * context
    return Estimate(weights, values * _VALUE_BYTES, context)


def _built(bundle: ModelBundle, backend: str) -> Path | None:
    """Return the folder of the newest package with weights that a backend built of a model; None where there is none.

    Such a folder begins with the name of its backend. A backend may also build small files only, and load the weights
    from the model's own files.
    """
    configs = [path for name in (CONFIG_NAME, EMBEDDING_CONFIG) for path in bundle.cache.glob(f"{backend}-*/{name}")]
    found = [path.parent for path in configs if path.parent.suffix != ".unfinished"]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _decoder(bundle: ModelBundle, package: Path | None) -> _Decoder | None:
    """Return the sizes of the decoder: those of the package, or else those that the model's own files say."""
    for folder in (package, bundle.path):
        if folder is not None and (folder / CONFIG_NAME).is_file():
            return _of_package(read_config(folder))
    values = model_info(bundle).values
    architecture = values.get("general.architecture", "")
    own = {key.removeprefix(f"{architecture}."): value for key, value in values.items()}
    heads, width = _number(own, "attention.head_count"), _number(own, "embedding_length")
    return _complete(
        _number(own, "block_count"),
        _number(own, "attention.head_count_kv") or heads,
        _number(own, "attention.key_length") or (width // heads if heads else 0),
        _number(own, "context_length"),
    )


def _of_package(config: Mapping[str, Any]) -> _Decoder | None:
    model = config.get("model")
    decoder = model.get("decoder") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(decoder, dict):
        return None
    layers, kv_heads = _number(decoder, "num_hidden_layers"), _number(decoder, "num_key_value_heads")
    return _complete(layers, kv_heads, _number(decoder, "head_size"), _number(model, "context_length"))


def _complete(layers: int, kv_heads: int, head_size: int, context_length: int) -> _Decoder | None:
    return _Decoder(layers, kv_heads, head_size, context_length) if layers and kv_heads and head_size else None


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if type(value) is int and value > 0 else 0
