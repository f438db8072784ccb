"""What the files of a model say about its architecture, under the keys that GGUF files use.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olpipe.errors import ModelError
from olpipe.model import ModelBundle
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.package_checks import CONFIG_NAME, read_config

MOST_SHOWN = 5
"""Longer arrays are left out unless all is asked for: the vocabulary alone has megabytes."""

_LEFT_OUT = frozenset({"general.name", "tokenizer.chat_template"})  # as in Ollama: both are told elsewhere

# What a `config.json` of Hugging Face calls the values.
_CONFIG_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "vocab_size": "vocab_size",
}
# What a `genai_config.json` calls them. Source: https://onnxruntime.ai/docs/genai/reference/config.html
_PACKAGE_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_size": "attention.key_length",
}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the files of a model say.

    Attributes:
        values: The values by their keys, such as `llama.context_length`. A value that is left out is None.
        tensors: For each tensor its `name`, its `type` and its `shape`, the innermost dimension first.
        projector: The values of the file of the vision encoder; None where there is no such file.
    """

    values: Mapping[str, Any]
    tensors: list[dict[str, Any]] = field(default_factory=list)
    projector: Mapping[str, Any] | None = None


def model_info(bundle: ModelBundle, *, verbose: bool = False) -> ModelInfo:
    """Read what the files of a model say. Of files that are damaged, only what the manifest says is told.

    Args:
        bundle: The model.
        verbose: Whether to give arrays however long they are.
    """
    known = _from_manifest(bundle)
    try:
        if bundle.config.model_format == "gguf":
            return _from_gguf(bundle.path, known, verbose)
        return ModelInfo(known | _from_configs(bundle))
    except (ModelError, OSError, ValueError):
        return ModelInfo(known)


def _from_manifest(bundle: ModelBundle) -> dict[str, Any]:
    config = bundle.config
    architecture = config.model_family or config.model_format
    values: dict[str, Any] = {"general.architecture": architecture}
    sizes = {"context_length": config.context_length, "embedding_length": config.embedding_length}
    return values | {f"{architecture}.{key}": size for key, size in sizes.items() if size}


def _from_gguf(folder: Path, known: Mapping[str, Any], verbose: bool) -> ModelInfo:
    from olpipe.convert.architectures import PROJECTOR_FILE
    from olpipe.convert.gguf import GGUFHeader, read_header

    def values(header: GGUFHeader) -> dict[str, Any]:
        shown = {key: _shown(value, verbose) for key, value in header.metadata.items() if key not in _LEFT_OUT}
        return shown | {"general.parameter_count": header.parameter_count}

    files = sorted(path for path in folder.glob("*.gguf") if path.name != PROJECTOR_FILE)
    if not files:
        return ModelInfo(known)
    header = read_header(files[0])
    projector = folder / PROJECTOR_FILE
    tensors = [
        {"name": tensor.name, "type": tensor.type.name, "shape": list(reversed(tensor.shape))}
        for tensor in header.tensors.values()
    ]
    return ModelInfo(
        {**known, **values(header)}, tensors, values(read_header(projector)) if projector.is_file() else None
    )


def _shown(value: Any, verbose: bool) -> Any:
    """Return a value for JSON; None for an array that is too long to be shown."""
    if isinstance(value, tuple):
        return list(value) if verbose or len(value) <= MOST_SHOWN else None
    return value


def _from_configs(bundle: ModelBundle) -> dict[str, Any]:
    """Return what the configuration of a package, or of a model as Hugging Face lays it out, says of the decoder."""
    architecture = bundle.config.model_family or bundle.config.model_format
    if (bundle.path / CONFIG_NAME).is_file():
        model = _table(read_config(bundle.path).get("model"))
        decoder, keys = _table(model.get("decoder")) | {"vocab_size": model.get("vocab_size")}, _PACKAGE_KEYS
        keys = keys | {"vocab_size": "vocab_size"}
    else:
        path = bundle.path / "config.json"
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return {}
        decoder, keys = _table(json.loads(path.read_bytes())), _CONFIG_KEYS
    found = ((f"{architecture}.{name}", decoder.get(key)) for key, name in keys.items())
    return {name: value for name, value in found if type(value) is int}


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
