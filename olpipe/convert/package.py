"""Convert a GGUF file into a package, in the layout of ONNX Runtime GenAI and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from olpipe.convert.adapter import read_adapter
from olpipe.convert.architectures import ARCHITECTURES, FORMAT_VERSION
from olpipe.convert.decoder import Precision, write_decoder
from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import GGUFHeader, open_gguf, read_header, shown
from olpipe.convert.linear import Blocks
from olpipe.convert.llama import LlamaConfig, read_config
from olpipe.convert.quantize import Coding
from olpipe.convert.tokenizer import (
    GGUFTokenizer,
    SpecialTokens,
    read_tokenizer,
    tokenizer_config,
    tokenizer_json,
)
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import Progress, ProgressCallback

__all__ = ["ARCHITECTURES", "FORMAT_VERSION", "PRECISIONS", "convert_gguf"]

# Embedding and output projection have eight bits. This costs little time, and four bits would cause most of the loss.
_VOCABULARY = Blocks(Coding.EIGHT_BITS, 32)

PRECISIONS = {
    "int4": Precision(Blocks(Coding.FOUR_BITS, 32), _VOCABULARY, fine_inputs=False),
    "int4-fast": Precision(Blocks(Coding.FOUR_BITS_WHOLE, 32), _VOCABULARY, fine_inputs=False),
    "int8": Precision(Blocks(Coding.EIGHT_BITS, 16), _VOCABULARY, fine_inputs=True),
}

_DECODER = "model.onnx"


def convert_gguf(
    source: Path,
    destination: Path,
    *,
    adapter: Path | None = None,
    precision: str = "int4",
    progress: ProgressCallback,
) -> None:
    """Convert a GGUF file into a package.

    Args:
        source: The `.gguf` file.
        destination: An existing, empty folder. After an error it may have a part of a package in it.
        adapter: The file of an adapter, which is added to the weights before they are quantised.
        precision: A key of `PRECISIONS`: how finely the weights of the layers are stored.
        progress: Called after every tensor.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The file or the adapter is damaged, or they do not fit each other.
        ModelUnsupported: The file is sound, but of a kind that cannot be converted.
    """
    # 1. Read and check everything but the weights.
    if precision not in PRECISIONS:
        raise ValueError(f"precision is `{precision}`, not one of {', '.join(PRECISIONS)}")
    model = open_gguf(source)
    header = model.header
    config, tokenizer = _read(header)
    added = None if adapter is None else read_adapter(adapter)
    if added is not None:
        added.check(header)
    # 2. Write the graph and its weights, tensor by tensor.
    completed = 0

    def count() -> None:
        nonlocal completed
        completed += 1
        progress(Progress("converting", completed, len(header.tensors), "tensors"))

    progress(Progress("converting", 0, len(header.tensors), "tensors"))
    write_decoder(FloatTensors(model, added), config, destination / _DECODER, PRECISIONS[precision], count)
    # 3. Write the tokenizer, and last the configuration.
    _write_json(destination / "tokenizer.json", tokenizer_json(tokenizer), indent=None)
    _write_json(destination / "tokenizer_config.json", tokenizer_config(tokenizer, config.context_length))
    _write_json(destination / "genai_config.json", _genai_config(config, tokenizer.special))


def check_convertible(source: Path) -> None:
    """Check whether `convert_gguf` can convert a file; raises what that raises. The weights are not read."""
    _read(read_header(source))


def _read(header: GGUFHeader) -> tuple[LlamaConfig, GGUFTokenizer]:
    """Return what a header says about the decoder and the tokenizer, checked."""
    if header.architecture not in ARCHITECTURES:
        raise ModelUnsupported(
            f"`{header.path}` has the architecture `{shown(header.architecture)}`, which cannot be converted",
            hint=f"these can be converted: {', '.join(ARCHITECTURES)}",
        )
    config = read_config(header)
    tokenizer = read_tokenizer(header)
    if len(tokenizer.tokens) > config.vocab_size:
        raise ModelCorrupt(
            f"`{header.path}` has {len(tokenizer.tokens)} tokens, but only {config.vocab_size} embedding rows"
        )
    return config, tokenizer


def _write_json(path: Path, content: dict[str, Any], *, indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def _genai_config(config: LlamaConfig, special: SpecialTokens) -> dict[str, Any]:
    """Return the content of `genai_config.json`.

    Source: https://onnxruntime.ai/docs/genai/reference/config.html
    """
    end = special.ends[0]
    return {
        "model": {
            "type": config.architecture,
            "vocab_size": config.vocab_size,
            "context_length": config.context_length,
            "bos_token_id": end if special.begin is None else special.begin,
            "eos_token_id": list(special.ends),
            "pad_token_id": end if special.padding is None else special.padding,
            "decoder": {
                "filename": _DECODER,
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "head_size": config.head_size,
                "hidden_size": config.hidden_size,
                "num_attention_heads": config.heads,
                "num_key_value_heads": config.kv_heads,
                "num_hidden_layers": config.layers,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": config.context_length,
            "past_present_share_buffer": True,
        },
    }
