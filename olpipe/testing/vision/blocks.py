"""Parts that the vision encoders of tiny models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from olpipe.testing.vision.decoders import SHARP, WIDTH
from olpipe.testing.vision.weights import Tensors

HALF = [0.5, 0.5, 0.5]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True, slots=True)
class EncoderSizes:
    """The sizes of a tiny vision encoder. Its width is not that of the text model, so neither can be mistaken.

    Attributes:
        image_size: The side of an image that it sees, in pixels.
        patch_size: The side of a patch, in pixels.
        layers: How many blocks it has.
        inner_width: The width inside a feed-forward block. As in real models, it need not be a multiple of 32.
        width: The width of its residual stream.
        heads: How many attention heads it has.
    """

    image_size: int
    patch_size: int
    layers: int
    inner_width: int
    width: int = 96
    heads: int = 4


def encoder_metadata(
    sizes: EncoderSizes, projector_type: str, *, mean: list[float], std: list[float]
) -> dict[str, Any]:
    """Return what all projector files say about their vision encoder."""
    return {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": "tiny",
        "general.file_type": 0,
        "general.quantization_version": 2,
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector_type,
        "clip.vision.projection_dim": WIDTH,
        "clip.vision.image_size": sizes.image_size,
        "clip.vision.patch_size": sizes.patch_size,
        "clip.vision.embedding_length": sizes.width,
        "clip.vision.feed_forward_length": sizes.inner_width,
        "clip.vision.block_count": sizes.layers,
        "clip.vision.attention.head_count": sizes.heads,
        "clip.vision.image_mean": mean,
        "clip.vision.image_std": std,
    }


def add_patches(tensors: Tensors, sizes: EncoderSizes, *, bias: bool, frames: int = 1) -> None:
    """Add the convolution that turns patches into rows, `v.patch_embd`: (width, 3, patch_size, patch_size).

    An encoder that reads films takes two frames at once. The convolution of the second one is `v.patch_embd.weight.1`.
    """
    shape = (sizes.width, 3, sizes.patch_size, sizes.patch_size)
    tensors.matrix("v.patch_embd", *shape, bias=bias)
    if frames == 2:
        tensors.matrix("second", *shape)
        tensors["v.patch_embd.weight.1"] = tensors.pop("second.weight")


def add_block(
    tensors: Tensors,
    layer: int,
    sizes: EncoderSizes,
    *,
    norm_bias: bool = True,
    fused: bool = False,
    gated: bool = False,
) -> None:
    """Add one block with biases.

    Args:
        tensors: The tensors of the encoder.
        layer: The number of the block.
        sizes: The sizes of the encoder.
        norm_bias: Whether the norms are layer norms; else they are RMS norms.
        fused: Whether one matrix makes queries, keys and values.
        gated: Whether the feed-forward block has a gate.
    """
    block, width, inner = f"v.blk.{layer}", sizes.width, sizes.inner_width
    tensors.norm(f"{block}.ln1", width, bias=norm_bias)
    tensors.matrix(f"{block}.attn_q", width, width, strength=SHARP, bias=True)
    tensors.matrix(f"{block}.attn_k", width, width, bias=True)
    tensors.matrix(f"{block}.attn_v", width, width, bias=True)
    if fused:
        tensors.fuse(f"{block}.attn_qkv", [f"{block}.attn_{part}" for part in "qkv"])
    tensors.matrix(f"{block}.attn_out", width, width, bias=True)
    tensors.norm(f"{block}.ln2", width, bias=norm_bias)
    if gated:
        tensors.matrix(f"{block}.ffn_gate", inner, width, bias=True)
    tensors.matrix(f"{block}.ffn_up", inner, width, bias=True)
    tensors.matrix(f"{block}.ffn_down", width, inner, bias=True)


def add_two_layers(tensors: Tensors, first: str, second: str, *, inputs: int, inner: int) -> None:
    """Add two matrices with biases, one after the other. The second one gives rows as wide as the text model's."""
    tensors.matrix(first, inner, inputs, bias=True)
    tensors.matrix(second, WIDTH, inner, bias=True)
