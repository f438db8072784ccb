"""BERT encoders in plain numpy, in float64, one text at a time. Conversions are measured against them.

They share no code with `olpipe.convert`. They read the files of a folder as sentence-transformers does.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Doubles: TypeAlias = npt.NDArray[np.float64]

_erf = np.vectorize(math.erf)


class FloatBert:
    """An embedding model in a folder, all of it in memory as float64."""

    def __init__(self, folder: Path) -> None:
        """Read the model."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._config = self._json(folder / "config.json")
        self._pooling = self._json(folder / "1_Pooling" / "config.json")
        self._max_tokens = int(self._json(folder / "sentence_bert_config.json")["max_seq_length"])
        self._tensors: dict[str, Doubles] = {
            name: values.astype(np.float64) for name, values in load_file(folder / "model.safetensors").items()
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def vectors(self, *texts: str) -> Doubles:
        """Return the vector of each text, (texts, width)."""
        return np.array([self.vector(text) for text in texts])

    def vector(self, text: str) -> Doubles:
        """Return the vector of a text, of length 1."""
        ids = self._tokenizer.encode(text).ids
        if len(ids) > self._max_tokens:  # cut the text, but keep the token that ends every text
            ids = [*ids[: self._max_tokens - 1], ids[-1]]
        hidden = self._hidden(ids)  # (tokens, width)
        if self._pooling["pooling_mode_cls_token"]:
            pooled = hidden[0]
        elif self._pooling["pooling_mode_max_tokens"]:
            pooled = hidden.max(axis=0)
        else:
            pooled = hidden.mean(axis=0)
        result: Doubles = pooled / np.linalg.norm(pooled)
        return result

    def _hidden(self, ids: list[int]) -> Doubles:
        """Return what the last layer says about each token, (tokens, width)."""
        first = 0 if self._config["model_type"] == "bert" else self._config["pad_token_id"] + 1
        hidden = (
            self._tensors["embeddings.word_embeddings.weight"][ids]
            + self._tensors["embeddings.position_embeddings.weight"][first : first + len(ids)]
            + self._tensors["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm("embeddings.LayerNorm", hidden)
        for layer in range(self._config["num_hidden_layers"]):
            prefix = f"encoder.layer.{layer}"
            attended = self._linear(f"{prefix}.attention.output.dense", self._attention(prefix, hidden))
            hidden = self._norm(f"{prefix}.attention.output.LayerNorm", hidden + attended)
            opened = self._linear(f"{prefix}.intermediate.dense", hidden)  # (tokens, feed-forward width)
            opened = opened * (1 + _erf(opened / math.sqrt(2))) / 2  # GELU
            hidden = self._norm(f"{prefix}.output.LayerNorm", hidden + self._linear(f"{prefix}.output.dense", opened))
        return hidden

    def _attention(self, prefix: str, hidden: Doubles) -> Doubles:
        query, key, value = (
            self._linear(f"{prefix}.attention.self.{part}", hidden)
            .reshape(len(hidden), self._config["num_attention_heads"], -1)
            .swapaxes(0, 1)  # (heads, tokens, head width)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])  # (heads, tokens, tokens)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined: Doubles = (weights @ value).swapaxes(0, 1).reshape(hidden.shape)  # (tokens, width)
        return joined

    def _linear(self, name: str, values: Doubles) -> Doubles:
        result: Doubles = values @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]
        return result

    def _norm(self, name: str, values: Doubles) -> Doubles:
        centred = values - values.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._config["layer_norm_eps"])
        result: Doubles = centred / spread * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return result

    @staticmethod
    def _json(path: Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))
