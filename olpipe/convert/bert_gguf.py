"""Read BERT encoders from GGUF files: their sizes, their pooling, and their WordPiece tokenizer.

Source: `BertModel` in https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py
"""

from __future__ import annotations

from typing import Any

from olpipe.convert.bert import MAX_LAYERS, MAX_WIDTH, PLAIN, BertConfig
from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.convert.model_folder import ConfigFile
from olpipe.convert.sentence_folder import Pooling
from olpipe.convert.tensor_shapes import check_shapes
from olpipe.errors import ModelCorrupt, ModelUnsupported

ARCHITECTURE = "bert"

_POOLING = {1: Pooling.MEAN, 2: Pooling.CLS}
_CONTROL = 3
_WORD_START = "\u2581"
"""The first character of tokens that begin a word, in GGUF files.

In a `tokenizer.json`, these tokens have no mark. All other tokens begin with `##` there.
"""


def read_header_config(header: GGUFHeader) -> tuple[BertConfig, Pooling]:
    """Read what a header says about the encoder, and check that the file has exactly its tensors.

    Raises:
        ModelCorrupt: Something is missing, or two statements contradict each other.
        ModelUnsupported: The encoder is of a kind that cannot be converted.
    """
    said = ConfigFile(header.path, header.metadata)
    prefix = ARCHITECTURE
    if said.flag(f"{prefix}.attention.causal"):
        raise ModelUnsupported(f"`{header.path}` has causal attention, which cannot be converted")
    pooling = header.metadata.get(f"{prefix}.pooling_type")
    if type(pooling) is not int or pooling not in _POOLING:
        raise ModelUnsupported(
            f"`{header.path}` says `{prefix}.pooling_type` is {shown(str(pooling))}, which cannot be converted",
            hint="these can be converted: 1 (mean) and 2 (cls)",
        )
    hidden_size = said.size(f"{prefix}.embedding_length", limit=MAX_WIDTH)
    config = BertConfig(
        family=ARCHITECTURE,
        layers=said.size(f"{prefix}.block_count", limit=MAX_LAYERS),
        hidden_size=hidden_size,
        feed_forward_size=said.size(f"{prefix}.feed_forward_length", limit=1 << 20),
        heads=said.size(f"{prefix}.attention.head_count", limit=hidden_size),
        positions=_rows(header, "position_embd.weight"),
        skipped_positions=0,
        vocab_size=_rows(header, "token_embd.weight"),
        token_types=_rows(header, "token_types.weight"),
        epsilon=said.positive(f"{prefix}.attention.layer_norm_epsilon", 1e-12),
    )
    if hidden_size % config.heads:
        raise ModelCorrupt(f"`{header.path}` has a width of {hidden_size} for {config.heads} heads")
    found = {name: tensor.shape for name, tensor in header.tensors.items()}
    check_shapes(f"`{header.path}`", found, config.shapes(), kind=PLAIN)
    return config, _POOLING[pooling]


def tokenizer_json(header: GGUFHeader) -> dict[str, Any]:
    """Return the content of a `tokenizer.json` with the file's tokens.

    Raises:
        ModelCorrupt: The tokenizer is damaged.
        ModelUnsupported: The tokenizer is of another kind.
    """
    kind = header.metadata.get("tokenizer.ggml.model")
    if kind != "bert":
        raise ModelUnsupported(f"`{header.path}` has a tokenizer `{shown(str(kind))}`; only `bert` is converted")
    kinds = _kinds(header)
    tokens = _tokens(header, kinds)
    ids = {role: _token_id(header, role, key, len(tokens)) for role, key in _ROLES.items()}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(token_id, token)
            for token_id, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == _CONTROL or token_id in ids.values()
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": _is_lowercase(tokens),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            **{role: [tokens[ids[role]], ids[role]] for role in ("cls", "sep")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": tokens[ids["unk"]],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: token_id for token_id, token in enumerate(tokens)},
        },
    }


# For each role the keys that may say which token has it, the most specific first. llama.cpp itself writes `seperator`.
_ROLES = {
    "unk": ("unknown_token_id",),
    "cls": ("cls_token_id", "bos_token_id"),
    "sep": ("seperator_token_id", "separator_token_id", "eos_token_id"),
}


def _rows(header: GGUFHeader, name: str) -> int:
    """Return how many rows a tensor has."""
    tensor = header.tensors.get(name)
    if tensor is None:
        raise ModelCorrupt(f"`{header.path}` has no tensor `{name}`")
    return tensor.shape[0]


def _kinds(header: GGUFHeader) -> tuple[int, ...]:
    """Return the kind of each token, as GGUF numbers it."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, tuple) or not tokens or not isinstance(tokens[0], str):
        raise ModelCorrupt(f"`{header.path}` has no list of texts `tokenizer.ggml.tokens`")
    kinds = header.metadata.get("tokenizer.ggml.token_type", (0,) * len(tokens))
    if not isinstance(kinds, tuple) or len(kinds) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has {len(tokens)} tokens, but not as many token types")
    return kinds


def _tokens(header: GGUFHeader, kinds: tuple[int, ...]) -> list[str]:
    """Return the tokens as a `tokenizer.json` has them."""
    stored = header.metadata["tokenizer.ggml.tokens"]
    tokens = [_written(token, kind) for token, kind in zip(stored, kinds, strict=True)]
    if len(set(tokens)) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has the same token twice")
    return tokens


def _written(token: str, kind: int) -> str:
    """Return one token as a `tokenizer.json` has it."""
    if token.startswith(_WORD_START):
        return token.removeprefix(_WORD_START)
    if kind == _CONTROL or (token.startswith("[") and token.endswith("]")):
        return token
    return f"##{token}"


def _token_id(header: GGUFHeader, role: str, keys: tuple[str, ...], count: int) -> int:
    """Return the id of the token with a role."""
    values = [header.metadata.get(f"tokenizer.ggml.{key}") for key in keys]
    value = next((value for value in values if value is not None), None)
    if type(value) is not int or not 0 <= value < count:
        raise ModelCorrupt(f"`{header.path}` has no token {shown(str(value))}, its `{role}` token")
    return value


def _is_lowercase(tokens: list[str]) -> bool:
    """Say whether texts are put in lower case. Files do not say it, but then no token has a capital letter."""
    return not any(token != token.lower() for token in tokens if not token.startswith("["))


def _added(token_id: int, content: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, **flags, "special": True}
