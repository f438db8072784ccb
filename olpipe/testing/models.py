"""Tiny language models with random weights. They are real files, which real runtimes load in an instant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.testing.gguf import write_gguf

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""The first tokens; the last of them ends an answer."""

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_LAYERS, _WIDTH, _FEED_FORWARD = 2, 64, 128
_HEADS, _KV_HEADS = 4, 2
_CONTROL_TOKEN, _NORMAL_TOKEN = 3, 1

# Merges begin at the left end of each word, so every beginning of a word is a token, too.
_WORDS = (
    *(" the", " and", " of", " in", " is", " with", " dog", " cat", " photo", " street", "ing", "er", "on", "the"),
    *('{"', '":', '":"', '","', '"}', "},", "tags", "title", "description", "objects", "alt"),
)


def write_tiny_gguf(
    path: Path,
    *,
    seed: int = 0,
    context_length: int = 2048,
    special: Sequence[str] = (),
    chat_template: str = CHAT_TEMPLATE,
) -> Path:
    """Write a random llama of two layers with a ChatML template.

    It has the tensors, the tokenizer and the chat template of a real model. What it writes is random text.

    Args:
        path: The file; it is replaced.
        seed: Seed of the weights.
        context_length: Most tokens that it claims to read.
        special: Further special tokens, such as one that stands for images.
        chat_template: A Jinja template.

    Returns:
        `path`.
    """
    tokens, merges = vocabulary()
    tokens += special
    metadata = tiny_metadata(tokens, merges, context_length)
    metadata["tokenizer.chat_template"] = chat_template
    metadata["tokenizer.ggml.token_type"] = [
        _CONTROL_TOKEN if token in (*SPECIAL_TOKENS, *special) else _NORMAL_TOKEN for token in tokens
    ]
    write_gguf(path, metadata, tiny_tensors(len(tokens), seed))
    return path


def build_tiny_package(folder: Path, *, seed: int = 0, context_length: int = 2048) -> Path:
    """Convert a tiny model into a package for ONNX Runtime GenAI.

    Args:
        folder: Made if it is not there. The model's GGUF file is written beside it.
        seed: Seed of the weights.
        context_length: Most tokens that it claims to read.

    Returns:
        `folder`.
    """
    from olpipe.convert.package import convert_gguf

    folder.mkdir(parents=True)
    gguf = write_tiny_gguf(folder.with_name(folder.name + ".gguf"), seed=seed, context_length=context_length)
    convert_gguf(gguf, folder, progress=lambda _: None)
    return folder


def write_tokenizer(folder: Path, *, chat_template: str = "", context_length: int = 2048) -> Path:
    """Write `tokenizer.json` and `tokenizer_config.json` of a tokenizer that can encode every text, byte by byte.

    It has tokens for a few English words and for parts of JSON. Its third token, the last of `SPECIAL_TOKENS`, ends an
    answer.

    Args:
        folder: Where the files go; made if it is not there.
        chat_template: A Jinja template; empty for a model that was never trained to chat.
        context_length: Most tokens that the model reads.

    Returns:
        `folder`.
    """
    import json

    from olpipe.convert.tokenizer import GGUFTokenizer, SpecialTokens, tokenizer_config, tokenizer_json

    tokens, merges = vocabulary()
    kinds = [_CONTROL_TOKEN if token in SPECIAL_TOKENS else _NORMAL_TOKEN for token in tokens]
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    special = SpecialTokens(begin=None, ends=(2,), padding=2, add_begin=False)
    made = GGUFTokenizer(tokens, kinds, pairs, "smollm", special, chat_template)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("tokenizer.json", tokenizer_json(made)),
        ("tokenizer_config.json", tokenizer_config(made, context_length)),
    ):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return folder


def vocabulary() -> tuple[list[str], list[str]]:
    """Return tokens and merges of a byte-level BPE tokenizer that can encode every text."""
    letters = _byte_letters()
    tokens = [*SPECIAL_TOKENS, *letters]
    merges = []
    for word in _WORDS:
        spelt = [letters[byte] for byte in word.encode()]
        for end in range(1, len(spelt)):
            token = "".join(spelt[: end + 1])
            if token not in tokens:
                tokens.append(token)
                merges.append("".join(spelt[:end]) + " " + spelt[end])
    return tokens, merges


def tiny_metadata(
    tokens: list[str], merges: list[str], context_length: int, *, architecture: str = "llama"
) -> dict[str, Any]:
    """Return a tiny model's metadata."""
    kinds = [_CONTROL_TOKEN if token in SPECIAL_TOKENS else _NORMAL_TOKEN for token in tokens]
    return {
        "general.architecture": architecture,
        "general.name": "tiny",
        "general.size_label": "100K",
        "general.file_type": 0,
        f"{architecture}.block_count": _LAYERS,
        f"{architecture}.context_length": context_length,
        f"{architecture}.embedding_length": _WIDTH,
        f"{architecture}.feed_forward_length": _FEED_FORWARD,
        f"{architecture}.attention.head_count": _HEADS,
        f"{architecture}.attention.head_count_kv": _KV_HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 10000.0,
        f"{architecture}.rope.dimension_count": _WIDTH // _HEADS,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def tiny_tensors(vocabulary_size: int, seed: int, *, biases: bool = False) -> dict[str, npt.NDArray[np.float32]]:
    """Return a tiny model's weights. Without `output.weight`, they are a sound model with tied embeddings.

    Args:
        vocabulary_size: Rows of the embedding.
        seed: Seed of the weights.
        biases: Whether queries, keys and values have biases, as in a qwen2.
    """
    import numpy as np

    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    def norm() -> npt.NDArray[np.float32]:
        return random.uniform(0.5, 1.5, _WIDTH).astype(np.float32)

    key_width = _WIDTH // _HEADS * _KV_HEADS
    tensors = {
        "token_embd.weight": matrix(vocabulary_size, _WIDTH),
        "output_norm.weight": norm(),
        # Not tied to the embedding, and strong: otherwise random layers only repeat their last token.
        "output.weight": 3 * matrix(vocabulary_size, _WIDTH),
    }
    for layer in range(_LAYERS):
        block = {
            "attn_norm": norm(),
            "attn_q": matrix(_WIDTH, _WIDTH),
            "attn_k": matrix(key_width, _WIDTH),
            "attn_v": matrix(key_width, _WIDTH),
            "attn_output": matrix(_WIDTH, _WIDTH),
            "ffn_norm": norm(),
            "ffn_gate": matrix(_FEED_FORWARD, _WIDTH),
            "ffn_up": matrix(_FEED_FORWARD, _WIDTH),
            "ffn_down": matrix(_WIDTH, _FEED_FORWARD),
        }
        tensors |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
        for part, width in (("q", _WIDTH), ("k", key_width), ("v", key_width)) if biases else ():
            tensors[f"blk.{layer}.attn_{part}.bias"] = random.normal(0, 0.5, width).astype(np.float32)
    return tensors


def _byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte. Unprintable bytes get letters from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]
