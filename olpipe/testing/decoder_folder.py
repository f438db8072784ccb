"""Tiny decoders with random weights, in the layout of Hugging Face: what a GGUF file holds, in other names and forms.

The tokenizer is made with the library tokenizers, and shares nothing with the one that the converter makes of a GGUF
file. So what is converted from both can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors: TypeAlias = Mapping[str, npt.NDArray[np.float32]]

_CLASSES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma3": "Gemma3", "phi3": "Phi3"}
_MODEL_TYPES = {"gemma3": "gemma3_text"}
_CONTROL, _USER_DEFINED = 3, 4
_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SIZES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "head_dim": "attention.key_length",
    "sliding_window": "attention.sliding_window",
    "rope_local_base_freq": "rope.freq_base_swa",
}


def write_decoder_folder(
    folder: Path,
    metadata: Mapping[str, Any],
    tensors: Tensors,
    *,
    dtype: str = "F32",
    shards: int = 1,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model that a GGUF file would have.

    Args:
        folder: Made if it is not there.
        metadata: What the GGUF file would say. Its tokenizer is one of byte-level BPE.
        tensors: Its tensors.
        dtype: How they are stored: `F32`, `F16` or `BF16`.
        shards: In how many files they are.
        config: Further values for `config.json`.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = config_values(metadata, tied="output.weight" not in tensors) | dict(config or {})
    write_json(folder / "config.json", values)
    write_json(folder / "generation_config.json", {"eos_token_id": metadata["tokenizer.ggml.eos_token_id"]})
    write_tokenizer_files(folder, metadata)
    write_weights(folder, folder_tensors(metadata, tensors), dtype=dtype, shards=shards)
    return folder


def config_values(metadata: Mapping[str, Any], *, tied: bool) -> dict[str, Any]:
    """Return the content of `config.json`."""
    architecture = metadata["general.architecture"]
    found = {name: metadata.get(f"{architecture}.{key}") for name, key in _SIZES.items()}
    return {
        "architectures": [f"{_CLASSES[architecture]}ForCausalLM"],
        "model_type": _MODEL_TYPES.get(architecture, architecture),
        "tie_word_embeddings": tied,
        **{name: value for name, value in found.items() if value is not None},
    }


def folder_tensors(metadata: Mapping[str, Any], tensors: Tensors) -> dict[str, npt.NDArray[np.float32]]:
    """Return the tensors with the names and in the form that a folder has."""
    architecture = metadata["general.architecture"]
    heads = {
        part: metadata[f"{architecture}.attention.head_count{'' if part == 'attn_q' else '_kv'}"]
        for part in ("attn_q", "attn_k")
    }
    gemma, fused = architecture == "gemma3", architecture == "phi3"
    parts = dict(_PARTS)
    if gemma:
        parts |= {"post_attention_norm": parts["ffn_norm"], "ffn_norm": "pre_feedforward_layernorm"}
        parts |= {"post_ffw_norm": "post_feedforward_layernorm"}
    if fused:
        parts["ffn_up"] = "mlp.gate_up_proj"
    found: dict[str, npt.NDArray[np.float32]] = {}
    for name, values in tensors.items():
        *layer, part, last = name.split(".")
        if part.startswith("rope_"):
            continue
        if architecture == "llama" and part in heads:
            values = _halves(values, heads[part])
        if gemma and part.endswith("norm"):
            values = values - 1
        found[f"model.layers.{layer[1]}.{parts[part]}.{last}" if layer else f"{_ENDS[part]}.{last}"] = values
    return found


def write_weights(folder: Path, tensors: Tensors, *, dtype: str = "F32", shards: int = 1) -> None:
    """Write `model.safetensors`, or several such files and their index."""
    names = sorted(tensors)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype=dtype)
        return
    places: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        write_safetensors(folder / file, part, dtype=dtype)
        places |= dict.fromkeys(part, file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def write_safetensors(path: Path, tensors: Tensors, *, dtype: str = "F32") -> None:
    """Write one file of weights, byte by byte as the format says."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        stored = stored_bytes(values, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(stored)],
        }
        data += stored
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def stored_bytes(values: npt.NDArray[np.float32], dtype: str) -> bytes:
    """Return values as they are stored. To `BF16`, they are cut, so only values with 16 zero bits stay the same."""
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def write_tokenizer_files(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` of byte-level BPE, as the makers of SmolLM and Qwen do."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    tokens = metadata["tokenizer.ggml.tokens"]
    kinds = metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if metadata["tokenizer.ggml.pre"] == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        steps = [digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    else:
        steps = [pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated"), bytes_only]
    made.pre_tokenizer = pre_tokenizers.Sequence(steps)
    made.decoder = decoders.ByteLevel()
    for kind, add in ((_CONTROL, made.add_special_tokens), (_USER_DEFINED, made.add_tokens)):
        add([AddedToken(one, normalized=False) for one, its in zip(tokens, kinds, strict=True) if its == kind])
    if metadata["tokenizer.ggml.add_bos_token"]:
        begin = metadata["tokenizer.ggml.bos_token_id"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{tokens[begin]} $A", special_tokens=[(tokens[begin], begin)]
        )
    made.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding"}
    ids = {name: metadata.get(f"tokenizer.ggml.{role}_token_id") for name, role in roles.items()}
    settings = {name: tokens[place] for name, place in ids.items() if place is not None}
    write_json(folder / "tokenizer_config.json", {**settings, "chat_template": metadata["tokenizer.chat_template"]})


QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the tokenizer of Qwen 2 cuts texts into words."""


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")


def _halves(values: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Return the rows of queries or keys with the first values of all rotary pairs of a head before the second ones."""
    import numpy as np

    by_head = np.split(values, heads)
    return np.concatenate([part for own in by_head for part in (own[0::2], own[1::2])])
