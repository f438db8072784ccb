"""Tiny embedding models with random weights, in the layout of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LAYERS, WIDTH, FEED_FORWARD, HEADS = 2, 32, 64, 4
POSITIONS, TOKEN_TYPES = 95, 2
MAX_TOKENS = 80
"""Most tokens of a text. The encoder has positions for more."""

SPECIAL_TOKENS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
"""The first tokens. The padding token has the id 1, as in models whose positions begin after that id."""

PADDING = 1

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-()狗在街上"
_WORDS = ("the", "dog", "cat", "street", "##ing", "##er", "word", "photo", "is", "on")
VOCABULARY = (*SPECIAL_TOKENS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS)

_MODEL_TYPES = {"BertModel": "bert", "RobertaModel": "roberta", "XLMRobertaModel": "xlm-roberta"}


def write_tiny_bert(
    folder: Path, *, architecture: str = "BertModel", pooling: str = "mean", seed: int = 0, max_tokens: int = MAX_TOKENS
) -> Path:
    """Write a random encoder of two layers with the files of a real embedding model; its vectors mean nothing.

    Args:
        folder: Made if it is not there.
        architecture: `BertModel`, or one whose positions begin after the id of the padding token.
        pooling: `mean`, `cls` or `max`.
        seed: Seed of the weights.
        max_tokens: Most tokens of a text.

    Returns:
        `folder`.
    """
    from safetensors.numpy import save

    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {
        "config.json": _config(architecture),
        "tokenizer.json": _tokenizer(),
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": pooling == "max",
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": POSITIONS,
            **{f"{token[1:4].lower()}_token": token for token in SPECIAL_TOKENS},
        },
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(save(tiny_bert_tensors(seed), metadata={"format": "pt"}))
    return folder


def tiny_bert_tensors(seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Return a tiny encoder's weights by their names in folders of Hugging Face."""
    import numpy as np

    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": matrix(len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": matrix(TOKEN_TYPES, WIDTH),
    }
    linear = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (FEED_FORWARD, WIDTH),
        "output.dense": (WIDTH, FEED_FORWARD),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        for name, (rows, columns) in linear.items():
            tensors[f"{prefix}.{name}.weight"] = 3 * matrix(rows, columns)  # strong, so that attention is uneven
            tensors[f"{prefix}.{name}.bias"] = random.normal(0, 0.3, rows).astype(np.float32)
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    for norm in norms:
        tensors[f"{norm}.weight"] = random.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        tensors[f"{norm}.bias"] = random.normal(0, 0.3, WIDTH).astype(np.float32)
    return tensors


def _tokenizer() -> dict[str, Any]:
    """Return the content of a WordPiece `tokenizer.json` that cuts and pads texts, as those of real models do."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing

    ids = {token: token_id for token_id, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16, pad_id=PADDING, pad_token="[PAD]")
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return content


def _config(architecture: str) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": _MODEL_TYPES[architecture],
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": PADDING,
        "type_vocab_size": TOKEN_TYPES,
        "vocab_size": len(VOCABULARY),
    }
