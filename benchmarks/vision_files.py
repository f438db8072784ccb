"""Write GGUF files with the sizes of real vision models and random weights, for benchmarks.

The text model is stored as Q4_0, its embedding as Q8_0, and the vision encoder as F16, as in files that people have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from olpipe.families.idefics3 import Idefics3
from olpipe.families.qwen3_vl import Qwen3VL
from olpipe.testing.models import SPECIAL_TOKENS, vocabulary

F32, F16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16
Q4_0, Q8_0 = GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q8_0
BLOCK = 32  # values of a block of Q4_0 or Q8_0
CONTROL, NORMAL = 3, 1

QWEN_SPECIAL = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
SMOLVLM_SPECIAL = ("<fake_token_around_image>", "<global-img>", "<image>", "<end_of_utterance>")
SMOLVLM_NORMAL = ("ĊĊ",)  # llama.cpp puts this token in front of the whole image


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model.

    Attributes:
        architecture: That of the text model.
        layers: Blocks of the text model.
        width: Width of its residual stream.
        inner_width: Width inside its feed-forward blocks.
        heads: Its query heads.
        kv_heads: Its key and value heads.
        head_size: Width of a head.
        vocab_size: Rows of its embedding.
        vision: Metadata of the vision encoder, without `clip.vision.`.
    """

    architecture: str
    layers: int
    width: int
    inner_width: int
    heads: int
    kv_heads: int
    head_size: int
    vocab_size: int
    vision: dict[str, Any]


# Sources: the config.json of Qwen/Qwen3-VL-2B-Instruct and of HuggingFaceTB/SmolVLM-500M-Instruct.
SHAPES = {
    "qwen3-vl-2b": Shape(
        "qwen3vl", 28, 2048, 6144, 16, 8, 128, 151936,
        {
            "image_size": 768, "patch_size": 16, "embedding_length": 1024, "feed_forward_length": 4096,
            "block_count": 24, "attention.head_count": 16, "projection_dim": 2048, "spatial_merge_size": 2,
            "is_deepstack_layers": [layer in (5, 11, 17) for layer in range(24)],
            "image_min_pixels": 65536, "image_max_pixels": 16777216,
        },
    ),
    "smolvlm-500m": Shape(
        "llama", 32, 960, 2560, 15, 5, 64, 49280,
        {
            "image_size": 512, "patch_size": 16, "embedding_length": 768, "feed_forward_length": 3072,
            "block_count": 12, "attention.head_count": 12, "projection_dim": 960, "projector.scale_factor": 4,
            "preproc_image_size": 1024,  # the model's own is 2048: 17 tiles a photo, which takes very long
        },
    ),
}  # fmt: skip


class Writer:
    """Writes one file with random weights."""

    def __init__(self, path: Path, architecture: str, seed: int) -> None:
        self._writer = GGUFWriter(path, architecture)
        self._random = np.random.default_rng(seed)

    def say(self, values: dict[str, Any]) -> None:
        """Add metadata."""
        for key, value in values.items():
            if isinstance(value, bool):
                self._writer.add_bool(key, value)
            elif isinstance(value, int):
                self._writer.add_uint32(key, value)
            elif isinstance(value, float):
                self._writer.add_float32(key, value)
            elif isinstance(value, str):
                self._writer.add_string(key, value)
            else:
                self._writer.add_array(key, value)

    def matrix(self, name: str, *shape: int, form: GGMLQuantizationType, bias: bool = False) -> None:
        """Add a matrix whose products have about the size of what is multiplied, with or without a bias."""
        size = float(np.prod(shape[1:]) ** -0.5)
        if form in (Q4_0, Q8_0):
            blocks = np.prod(shape) // BLOCK
            code_bytes = BLOCK // 2 if form is Q4_0 else BLOCK
            spread = 4.6 if form is Q4_0 else 74  # standard deviation of random codes
            raw = np.empty((blocks, 2 + code_bytes), np.uint8)
            raw[:, :2] = np.full((blocks, 1), size / spread, np.float16).view(np.uint8)
            raw[:, 2:] = self._random.integers(0, 256, (blocks, code_bytes), np.uint8)
            self._writer.add_tensor(f"{name}.weight", raw.reshape(*shape[:-1], -1), raw_dtype=form)
        else:
            values = self._random.standard_normal(shape, np.float32) * np.float32(size)
            self._writer.add_tensor(f"{name}.weight", values.astype(np.float16 if form is F16 else np.float32))
        if bias:
            self.vector(f"{name}.bias", shape[0], around=0)

    def vector(self, name: str, size: int, *, around: float) -> None:
        """Add a vector of values around a number."""
        values = around + 0.1 * self._random.standard_normal(size, np.float32)
        self._writer.add_tensor(name, values.astype(np.float32))

    def zeros(self, name: str, *shape: int) -> None:
        """Add a tensor of zeros."""
        self._writer.add_tensor(name, np.zeros(shape, np.float32))

    def norm(self, name: str, size: int, *, bias: bool = False) -> None:
        """Add the weights of a norm."""
        self.vector(f"{name}.weight", size, around=1)
        if bias:
            self.vector(f"{name}.bias", size, around=0)

    def close(self) -> None:
        """Write the file."""
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_tensors_to_file()
        self._writer.close()


def write_text_model(path: Path, shape: Shape, *, seed: int = 0) -> None:
    """Write the text model of a shape."""
    writer = Writer(path, shape.architecture, seed)
    writer.say(_text_metadata(shape) | _tokenizer(shape))
    inner, kv_inner = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    writer.matrix("token_embd", shape.vocab_size, shape.width, form=Q8_0)
    writer.norm("output_norm", shape.width)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            writer.norm(f"{block}.{name}", shape.width)
        if shape.architecture == "qwen3vl":
            for name in ("attn_q_norm", "attn_k_norm"):
                writer.norm(f"{block}.{name}", shape.head_size)
        for name, rows, columns in (
            ("attn_q", inner, shape.width), ("attn_k", kv_inner, shape.width), ("attn_v", kv_inner, shape.width),
            ("attn_output", shape.width, inner), ("ffn_gate", shape.inner_width, shape.width),
            ("ffn_up", shape.inner_width, shape.width), ("ffn_down", shape.width, shape.inner_width),
        ):  # fmt: skip
            writer.matrix(f"{block}.{name}", rows, columns, form=Q4_0)
    writer.close()


def write_projector(path: Path, shape: Shape, *, seed: int = 1) -> None:
    """Write the vision encoder of a shape."""
    writer, vision, qwen = Writer(path, "clip", seed), shape.vision, shape.architecture == "qwen3vl"
    width, inner = vision["embedding_length"], vision["feed_forward_length"]
    writer.say(
        {
            "clip.has_vision_encoder": True,
            "clip.projector_type": "qwen3vl_merger" if qwen else "idefics3",
            "clip.use_gelu": True,
            "clip.vision.attention.layer_norm_epsilon": 1e-6,
            "clip.vision.image_mean": [0.5, 0.5, 0.5],
            "clip.vision.image_std": [0.5, 0.5, 0.5],
            **{f"clip.vision.{name}": value for name, value in vision.items()},
        }
    )
    patch = (width, 3, vision["patch_size"], vision["patch_size"])
    writer.matrix("v.patch_embd", *patch, form=F32, bias=True)
    writer.matrix("v.position_embd", (vision["image_size"] // vision["patch_size"]) ** 2, width, form=F32)
    for layer in range(vision["block_count"]):
        block = f"v.blk.{layer}"
        for name in ("ln1", "ln2"):
            writer.norm(f"{block}.{name}", width, bias=True)
        if qwen:
            writer.matrix(f"{block}.attn_qkv", 3 * width, width, form=F16, bias=True)
        else:
            for name in ("attn_q", "attn_k", "attn_v"):
                writer.matrix(f"{block}.{name}", width, width, form=F16, bias=True)
        writer.matrix(f"{block}.attn_out", width, width, form=F16, bias=True)
        writer.matrix(f"{block}.ffn_up", inner, width, form=F16, bias=True)
        writer.matrix(f"{block}.ffn_down", width, inner, form=F16, bias=True)
    writer.norm("v.post_ln", width, bias=True)
    if qwen:
        _qwen_mergers(writer, vision)
    else:
        merged = width * vision["projector.scale_factor"] ** 2
        writer.matrix("mm.model.fc", vision["projection_dim"], merged, form=F16)
    writer.close()


def _qwen_mergers(writer: Writer, vision: dict[str, Any]) -> None:
    """Add the second half of the patch embedding and all mergers of a Qwen3-VL."""
    width = vision["embedding_length"]
    merged, out = 4 * width, vision["projection_dim"]
    patch = (width, 3, vision["patch_size"], vision["patch_size"])
    writer.zeros("v.patch_embd.weight.1", *patch)
    writer.matrix("mm.0", merged, merged, form=F16, bias=True)
    writer.matrix("mm.2", out, merged, form=F16, bias=True)
    for layer in (layer for layer, deep in enumerate(vision["is_deepstack_layers"]) if deep):
        writer.norm(f"v.deepstack.{layer}.norm", merged, bias=True)
        writer.matrix(f"v.deepstack.{layer}.fc1", merged, merged, form=F16, bias=True)
        writer.matrix(f"v.deepstack.{layer}.fc2", out, merged, form=F16, bias=True)


def _text_metadata(shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {
        "block_count": shape.layers,
        "context_length": 8192,
        "embedding_length": shape.width,
        "feed_forward_length": shape.inner_width,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head_size,
        "attention.value_length": shape.head_size,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 5e6,
    }
    if shape.architecture == "qwen3vl":
        values |= {"rope.dimension_sections": [24, 20, 20, 0], "n_deepstack_layers": 3}
    else:
        values |= {"rope.dimension_count": shape.head_size, "vocab_size": shape.vocab_size}
    return {f"{shape.architecture}.{name}": value for name, value in values.items()}


def _tokenizer(shape: Shape) -> dict[str, Any]:
    """Return a vocabulary of the right size. Most of its tokens are words of fillers that no text contains."""
    words, merges = vocabulary()
    qwen = shape.architecture == "qwen3vl"
    special, normal = (QWEN_SPECIAL, ()) if qwen else (SMOLVLM_SPECIAL, SMOLVLM_NORMAL)
    fillers = [f"w{number}" for number in range(shape.vocab_size - len(words) - len(normal) - len(special))]
    tokens = [*words, *normal, *fillers, *special]
    control = {*SPECIAL_TOKENS, *special}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2" if qwen else "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if token in control else NORMAL for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": (Qwen3VL if qwen else Idefics3).template,
    }
