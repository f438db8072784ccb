"""Decoders of llama and qwen2 in plain numpy float32, written for clarity. Conversions are measured against them.

They share no code with `olpipe.convert`. The `gguf` package reads the file and widens its tensors to float32. Rotary
positions turn each pair of values by an angle; which values are a pair depends on the architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]


class FloatLlama:
    """A llama or qwen2 from a GGUF file, all of it in memory as float32."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader, dequantize

        reader = GGUFReader(path)
        self._fields = {name: field.contents() for name, field in reader.fields.items() if len(field.data) == 1}
        self._tensors: dict[str, Floats] = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
        }
        self._architecture = self._fields["general.architecture"]
        self._heads = int(self._field("attention.head_count"))
        self._kv_heads = int(self._field("attention.head_count_kv"))

    def logits(self, token_ids: npt.ArrayLike) -> Floats:
        """Return the logits after each of the tokens, (tokens, vocabulary)."""
        return self.project(self.hidden(token_ids))

    def hidden(self, token_ids: npt.ArrayLike) -> Floats:
        """Return the input of the output projection for each of the tokens, (tokens, width)."""
        hidden = self._tensors["token_embd.weight"][np.asarray(token_ids)]  # (tokens, width)
        for layer in range(int(self._field("block_count"))):
            prefix = f"blk.{layer}"
            hidden = hidden + self._attention(prefix, self._norm(f"{prefix}.attn_norm", hidden))
            hidden = hidden + self._feed_forward(prefix, self._norm(f"{prefix}.ffn_norm", hidden))
        return self._norm("output_norm", hidden)

    def project(self, hidden: Floats) -> Floats:
        """Return the logits for what `hidden` returned, (tokens, vocabulary)."""
        output = self._tensors.get("output.weight", self._tensors["token_embd.weight"])
        result: Floats = hidden @ output.T
        return result

    def _field(self, name: str) -> Any:
        return self._fields[f"{self._architecture}.{name}"]

    def _norm(self, name: str, hidden: Floats) -> Floats:
        mean_square = np.mean(hidden**2, axis=-1, keepdims=True)
        epsilon = np.float32(self._field("attention.layer_norm_rms_epsilon"))
        result: Floats = hidden / np.sqrt(mean_square + epsilon) * self._tensors[f"{name}.weight"]
        return result

    def _attention(self, prefix: str, hidden: Floats) -> Floats:
        tokens = len(hidden)

        def heads(part: str, count: int) -> Floats:
            projected = hidden @ self._tensors[f"{prefix}.attn_{part}.weight"].T
            projected = projected + self._tensors.get(f"{prefix}.attn_{part}.bias", np.float32(0))
            return projected.reshape(tokens, count, -1).swapaxes(0, 1)  # (heads, tokens, head width)

        groups = self._heads // self._kv_heads  # this many query heads share a head of keys and values
        query = self._rotate(heads("q", self._heads))
        key = np.repeat(self._rotate(heads("k", self._kv_heads)), groups, axis=0)
        value = np.repeat(heads("v", self._kv_heads), groups, axis=0)
        scores = query @ key.swapaxes(1, 2) / np.sqrt(np.float32(query.shape[-1]))  # (heads, tokens, tokens)
        scores += np.triu(np.full((tokens, tokens), -np.inf, np.float32), k=1)  # no token sees a later one
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined = (weights @ value).swapaxes(0, 1).reshape(tokens, -1)  # (tokens, width)
        result: Floats = joined @ self._tensors[f"{prefix}.attn_output.weight"].T
        return result

    def _rotate(self, values: Floats) -> Floats:
        """Turn each pair of values, (heads, tokens, head width), by an angle that grows with the token's position.

        In a llama, two neighbours are a pair; in a qwen2, a value and the one half a head later.
        """
        _, tokens, width = values.shape
        frequencies = float(self._field("rope.freq_base")) ** -(np.arange(0, width, 2) / width)
        if "rope_freqs.weight" in self._tensors:
            frequencies = frequencies / self._tensors["rope_freqs.weight"]
        turns = np.exp(1j * np.outer(np.arange(tokens), frequencies))  # (tokens, width / 2)
        neighbours = self._architecture == "llama"
        if neighbours:
            first, second = values[..., 0::2], values[..., 1::2]
        else:
            first, second = np.split(values, 2, axis=-1)
        turned = (first + 1j * second) * turns
        joined = np.stack([turned.real, turned.imag], axis=-1 if neighbours else -2)
        return joined.reshape(values.shape).astype(np.float32)

    def _feed_forward(self, prefix: str, hidden: Floats) -> Floats:
        gate = hidden @ self._tensors[f"{prefix}.ffn_gate.weight"].T
        up = hidden @ self._tensors[f"{prefix}.ffn_up.weight"].T
        result: Floats = (gate / (1 + np.exp(-gate)) * up) @ self._tensors[f"{prefix}.ffn_down.weight"].T
        return result
