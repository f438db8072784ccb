"""Tiny text models with random weights, as llama.cpp stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olpipe.testing.vision.content import Content
from olpipe.testing.vision.tokens import Words
from olpipe.testing.vision.weights import Tensors

WIDTH = 64
"""The width of the residual stream. All tiny text models have the same."""

FEED_FORWARD, HEADS, KV_HEADS = 128, 4, 2

SHARP = 2.3
"""The strength of the matrices of queries. It makes attention differ clearly from a mean."""

_ROTARY_FACTORS = ("rope_factors_long", "rope_factors_short")


@dataclass(frozen=True, slots=True)
class Decoder:
    """The form of a tiny text model.

    Attributes:
        architecture: Its name in GGUF files.
        layers: How many blocks it has.
        head_size: The width of a head. Four heads need not be as wide as the residual stream.
        biases: Whether queries, keys and values have biases.
        head_norms: Whether queries and keys are normalised.
        outer_norms: Whether the result of each block is normalised, too.
        fused: Whether one matrix makes queries, keys and values, and one both inputs of the feed-forward block.
        tied: Whether the embedding is the output projection, too.
        rotary_factors: What rotary frequencies are divided by in long and in short contexts; empty for most models.
        metadata: More about it. The keys do not have the architecture in front.
    """

    architecture: str
    layers: int
    head_size: int = 16
    biases: bool = False
    head_norms: bool = False
    outer_norms: bool = False
    fused: bool = False
    tied: bool = False
    rotary_factors: tuple[tuple[float, ...], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def text_model(decoder: Decoder, words: Words, seed: int) -> Content:
    """Return the file of a tiny text model.

    Args:
        decoder: Its form.
        words: Its vocabulary.
        seed: Seed of the weights.
    """
    return Content(_metadata(decoder) | words.metadata(), _tensors(decoder, len(words.tokens()), seed))


def _metadata(decoder: Decoder) -> dict[str, Any]:
    """Return what a file says about the sizes of a tiny text model."""
    sizes: dict[str, Any] = {
        "block_count": decoder.layers,
        "context_length": 2048,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }
    if decoder.head_size * HEADS != WIDTH:
        sizes |= {"attention.key_length": decoder.head_size, "attention.value_length": decoder.head_size}
    named = {f"{decoder.architecture}.{key}": value for key, value in (sizes | dict(decoder.metadata)).items()}
    return {
        "general.architecture": decoder.architecture,
        "general.type": "model",
        "general.name": "tiny",
        "general.file_type": 0,
        "general.quantization_version": 2,
    } | named


def _tensors(decoder: Decoder, vocab_size: int, seed: int) -> Tensors:
    """Return the weights of a tiny text model.

    Args:
        decoder: Its form.
        vocab_size: Rows of the embedding.
        seed: Seed of the weights.
    """
    import numpy as np

    tensors = Tensors(seed)
    tensors.matrix("token_embd", vocab_size, WIDTH)
    tensors.norm("output_norm", WIDTH)
    if not decoder.tied:
        tensors.matrix("output", vocab_size, WIDTH)
    for name, factors in zip(_ROTARY_FACTORS, decoder.rotary_factors, strict=False):
        tensors[f"{name}.weight"] = np.array(factors, np.float32)
    for layer in range(decoder.layers):
        _attention(tensors, f"blk.{layer}", decoder)
        _feed_forward(tensors, f"blk.{layer}", decoder)
    return tensors


def _attention(tensors: Tensors, block: str, decoder: Decoder) -> None:
    queries, keys = HEADS * decoder.head_size, KV_HEADS * decoder.head_size
    tensors.norm(f"{block}.attn_norm", WIDTH)
    tensors.matrix(f"{block}.attn_q", queries, WIDTH, strength=SHARP, bias=decoder.biases)
    tensors.matrix(f"{block}.attn_k", keys, WIDTH, bias=decoder.biases)
    tensors.matrix(f"{block}.attn_v", keys, WIDTH, bias=decoder.biases)
    if decoder.fused:
        tensors.fuse(f"{block}.attn_qkv", [f"{block}.attn_{part}" for part in "qkv"])
    if decoder.head_norms:
        tensors.norm(f"{block}.attn_q_norm", decoder.head_size)
        tensors.norm(f"{block}.attn_k_norm", decoder.head_size)
    tensors.matrix(f"{block}.attn_output", WIDTH, queries)
    if decoder.outer_norms:
        tensors.norm(f"{block}.post_attention_norm", WIDTH)


def _feed_forward(tensors: Tensors, block: str, decoder: Decoder) -> None:
    tensors.norm(f"{block}.ffn_norm", WIDTH)
    tensors.matrix(f"{block}.ffn_gate", FEED_FORWARD, WIDTH)
    tensors.matrix(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
    if decoder.fused:
        tensors.fuse(f"{block}.ffn_up", [f"{block}.ffn_gate", f"{block}.ffn_up"])
    tensors.matrix(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    if decoder.outer_norms:
        tensors.norm(f"{block}.post_ffw_norm", WIDTH)
