"""A tiny SentencePiece vocabulary, as the GGUF files of Llama 2, Phi-3 and Gemma have it. It can write every text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ROLES = ("<unk>", "<s>", "</s>")
"""The first tokens: for what is unknown, before a text, and at the end of an answer."""

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6

# Every beginning of a word is a token, too. The tokens of the first words have the highest scores.
_WORDS = (
    *("▁the", "▁and", "▁of", "▁in", "▁is", "▁with", "▁dog", "▁cat", "▁photo", "▁street", "ing", "er", "on", "the"),
    *(
        '{"',
        '":',
        '":"',
        '","',
        '"}',
        "},",
        "tags",
        "title",
        "description",
        "objects",
        "alt",
        "></",
        "▁▁",
        "▁▁▁▁",
        "über",
    ),
)
_LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789{}[]:,\"'.!?-<>/|_ü犬"


def sentencepiece_metadata(
    *, specials: Sequence[str] = (), user_defined: Sequence[str] = (), space_prefix: bool | None = None
) -> dict[str, Any]:
    """Return the tokenizer of a GGUF file. Add it to the metadata of a model: `tiny_metadata(…) | this`.

    The list `tokenizer.ggml.tokens` tells how many tokens there are. `ROLES` come first, then one token for each byte,
    then words and letters, then `specials`, then `user_defined`.

    Args:
        specials: Control tokens, such as `<end_of_turn>`.
        user_defined: Tokens that are taken as a whole, but shown in answers, such as `<start_of_image>`.
        space_prefix: Whether a space is put before a text; None leaves that open, as most files do.
    """
    beginnings = (word[:end] for word in _WORDS for end in range(2, len(word) + 1))
    normal = (*dict.fromkeys(beginnings), *_LETTERS)
    groups = (
        (ROLES[:1], _UNKNOWN),
        (ROLES[1:], _CONTROL),
        ([f"<0x{byte:02X}>" for byte in range(256)], _BYTE),
        (normal, _NORMAL),
        (specials, _CONTROL),
        (user_defined, _USER_DEFINED),
    )
    tokens = [(token, kind) for group, kind in groups for token in group]
    first = len(ROLES) + 256
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [token for token, _ in tokens],
        "tokenizer.ggml.token_type": [kind for _, kind in tokens],
        "tokenizer.ggml.scores": [
            float(first - place) if kind == _NORMAL else 0.0 for place, (_, kind) in enumerate(tokens)
        ],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }
    return metadata if space_prefix is None else metadata | {"tokenizer.ggml.add_space_prefix": space_prefix}
