"""Decoders in plain numpy float32, written for clarity. Conversions are measured against them.

They share no code with `olpipe.convert`. The `gguf` package reads the file and widens its tensors to float32. Only
texts are read, also by models that can see. The files are those of llama.cpp: those of Ollama leave values out.

Most of what distinguishes the architectures shows in the tensors of a file: whether there are biases, norms of heads,
norms behind the blocks, or fused matrices. The rest is asked by the name of the architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]

_GEMMA3_GLOBAL_EVERY = 6  # one layer in six of a gemma3 attends to all tokens, the others to a window
_GEMMA3_LOCAL_BASE = 10000.0  # the rotary base of layers with a window, where the file does not say it
_GEMMA3_27B_LAYERS = 62  # this one divides its attention scores by another number than the smaller ones


class FloatDecoder:
    """A decoder from a GGUF file, all of it in memory as float32."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader, dequantize

        reader = GGUFReader(path)
        self._fields = {name: field.contents() for name, field in reader.fields.items() if len(field.data) == 1}
        self._tensors: dict[str, Floats] = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
        }
        self._architecture = self._fields["general.architecture"]
        self._gemma3 = self._architecture == "gemma3"
        self._layers = int(self._field("block_count"))
        self._heads = int(self._field("attention.head_count"))
        self._kv_heads = int(self._field("attention.head_count_kv"))

    def logits(self, token_ids: npt.ArrayLike) -> Floats:
        """Return the logits after each of the tokens, (tokens, vocabulary)."""
        return self.project(self.hidden(token_ids))

    def hidden(self, token_ids: npt.ArrayLike) -> Floats:
        """Return the input of the output projection for each of the tokens, (tokens, width)."""
        hidden = self._tensors["token_embd.weight"][np.asarray(token_ids)]  # (tokens, width)
        if self._gemma3:
            hidden = hidden * np.sqrt(np.float32(hidden.shape[1]))
        for layer in range(self._layers):
            block = f"blk.{layer}"
            attended = self._attention(layer, self._norm(f"{block}.attn_norm", hidden))
            hidden = hidden + self._outer_norm(f"{block}.post_attention_norm", attended)
            fed = self._feed_forward(block, self._norm(f"{block}.ffn_norm", hidden))
            hidden = hidden + self._outer_norm(f"{block}.post_ffw_norm", fed)
        return self._norm("output_norm", hidden)

    def project(self, hidden: Floats) -> Floats:
        """Return the logits for what `hidden` returned, (tokens, vocabulary)."""
        output = self._tensors.get("output.weight", self._tensors["token_embd.weight"])
        result: Floats = hidden @ output.T
        return result

    def _field(self, name: str, default: Any = None) -> Any:
        key = f"{self._architecture}.{name}"
        return self._fields[key] if default is None else self._fields.get(key, default)

    def _is_local(self, layer: int) -> bool:
        """Say whether a layer is one of a gemma3 that attend to a window."""
        return self._gemma3 and (layer + 1) % _GEMMA3_GLOBAL_EVERY != 0

    def _norm(self, name: str, hidden: Floats) -> Floats:
        """Divide by the root of the mean square over the last axis, and multiply by the weights of a norm."""
        mean_square = np.mean(hidden**2, axis=-1, keepdims=True)
        epsilon = np.float32(self._field("attention.layer_norm_rms_epsilon"))
        result: Floats = hidden / np.sqrt(mean_square + epsilon) * self._tensors[f"{name}.weight"]
        return result

    def _outer_norm(self, name: str, hidden: Floats) -> Floats:
        """Normalise the result of a block where the file has a norm for it."""
        return self._norm(name, hidden) if f"{name}.weight" in self._tensors else hidden

    def _attention(self, layer: int, hidden: Floats) -> Floats:
        """Return the result of an attention block, (tokens, width) as the normalised input."""
        query, key, value = self._heads_of(f"blk.{layer}", hidden)
        turns = self._turns(layer, tokens=len(hidden), width=query.shape[-1])
        groups = self._heads // self._kv_heads  # this many query heads share a head of keys and values
        query = self._rotate(query, turns)
        key = np.repeat(self._rotate(key, turns), groups, axis=0)
        scores = query @ key.swapaxes(1, 2) * self._score_factor(query.shape[-1])  # (heads, tokens, tokens)
        scores += np.where(self._sees(layer, len(hidden)), np.float32(0), np.float32(-np.inf))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        values = weights @ np.repeat(value, groups, axis=0)  # (heads, tokens, head width)
        joined = values.swapaxes(0, 1).reshape(len(hidden), -1)  # (tokens, heads * head width)
        result: Floats = joined @ self._tensors[f"blk.{layer}.attn_output.weight"].T
        return result

    def _heads_of(self, block: str, hidden: Floats) -> tuple[Floats, Floats, Floats]:
        """Return queries, keys and values, (heads, tokens, head width) each; queries and keys are not yet rotated."""
        counts = np.array([self._heads, self._kv_heads, self._kv_heads])
        if f"{block}.attn_qkv.weight" in self._tensors:
            packed = hidden @ self._tensors[f"{block}.attn_qkv.weight"].T
            ends = np.cumsum(counts) * (packed.shape[1] // counts.sum())
            projected = np.split(packed, ends[:-1], axis=1)
        else:
            zero = np.float32(0)
            projected = [
                hidden @ self._tensors[f"{block}.attn_{part}.weight"].T
                + self._tensors.get(f"{block}.attn_{part}.bias", zero)
                for part in "qkv"
            ]
        query, key, value = (
            rows.reshape(len(hidden), count, -1).swapaxes(0, 1) for rows, count in zip(projected, counts, strict=True)
        )
        return self._outer_norm(f"{block}.attn_q_norm", query), self._outer_norm(f"{block}.attn_k_norm", key), value

    def _score_factor(self, width: int) -> np.float32:
        """Return what attention scores are multiplied by, for heads of a width."""
        if self._gemma3 and self._layers == _GEMMA3_27B_LAYERS:
            width = int(self._field("embedding_length")) // self._heads
        return np.float32(width**-0.5)

    def _sees(self, layer: int, tokens: int) -> npt.NDArray[np.bool_]:
        """Return which tokens attend to which, (tokens, tokens): to themselves, and to tokens before them."""
        ago = np.arange(tokens)[:, None] - np.arange(tokens)
        sees: npt.NDArray[np.bool_] = ago >= 0
        window = int(self._field("attention.sliding_window", 0))
        if window and (self._is_local(layer) or self._architecture == "phi3"):
            sees &= ago < window
        return sees

    def _turns(self, layer: int, *, tokens: int, width: int) -> npt.NDArray[np.complex128]:
        """Return by which angles pairs of values turn, as complex numbers, (tokens, width / 2)."""
        exponents = np.arange(0, width, 2) / width
        base = float(self._field("rope.freq_base", 10000.0))
        if self._is_local(layer):
            base = float(self._field("rope.freq_base_swa", _GEMMA3_LOCAL_BASE))
        frequencies = base**-exponents
        for name in ("rope_freqs.weight", "rope_factors_short.weight"):
            if name in self._tensors:
                frequencies = frequencies / self._tensors[name]
        if self._field("rope.scaling.type", "none") == "linear" and not self._is_local(layer):
            frequencies = frequencies / self._field("rope.scaling.factor")
        size = float(self._field("rope.scaling.attn_factor", 1.0))
        turns: npt.NDArray[np.complex128] = size * np.exp(1j * np.outer(np.arange(tokens), frequencies))
        return turns

    def _rotate(self, values: Floats, turns: npt.NDArray[np.complex128]) -> Floats:
        """Turn each pair of values, (heads, tokens, head width), by an angle that grows with the token's position.

        In a llama, two neighbours are a pair; in the others, a value and the one half a head later.
        """
        neighbours = self._architecture == "llama"
        if neighbours:
            first, second = values[..., 0::2], values[..., 1::2]
        else:
            first, second = np.split(values, 2, axis=-1)
        turned = (first + 1j * second) * turns
        joined = np.stack([turned.real, turned.imag], axis=-1 if neighbours else -2)
        return joined.reshape(values.shape).astype(np.float32)

    def _feed_forward(self, block: str, hidden: Floats) -> Floats:
        """Return the result of a feed-forward block, (tokens, width) as the normalised input."""
        up = hidden @ self._tensors[f"{block}.ffn_up.weight"].T
        if f"{block}.ffn_gate.weight" in self._tensors:
            gate = hidden @ self._tensors[f"{block}.ffn_gate.weight"].T
        else:
            gate, up = np.split(up, 2, axis=1)
        opened = _gelu(gate) if self._gemma3 else gate / (1 + np.exp(-gate))
        result: Floats = (opened * up) @ self._tensors[f"{block}.ffn_down.weight"].T
        return result


def _gelu(values: Floats) -> Floats:
    """Return GELU by its usual formula with a hyperbolic tangent."""
    inner = np.float32(np.sqrt(2 / np.pi)) * (values + np.float32(0.044715) * values**3)
    result: Floats = np.float32(0.5) * values * (1 + np.tanh(inner))
    return result
