"""A model's tokens as bytes, built once per model and shared by all its requests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any

import llguidance

from olpipe.errors import ModelUnsupported

STRUCTURE = '"]},:[{'
# One of each class first: a pattern that takes one digit mostly takes any, and 1111-11-11 is a date.
_FILLERS = "1aA-.@: /_+tfn0T23456789bcdeghijklmopqrsuvwxyzBCDEFGHIJKLMNOPQRSUVWXYZ"


class Vocabulary:
    """Tokens of one model: bytes, text, and what the grammar engine needs to know of them.

    Attributes:
        size: Width of the logits; may exceed the tokenizer's own count (padding).
        end_tokens: Ids that end an answer.
    """

    def __init__(self, tokenizer_json: str, *, size: int, end_tokens: Sequence[int]) -> None:
        """Build from the text of a `tokenizer.json`.

        Raises:
            ModelUnsupported: The tokenizer's merges cannot be reproduced byte by byte.
        """
        self.size = size
        self.end_tokens = frozenset(end_tokens)
        self.tokenizer: Any = llguidance.LLTokenizer(
            tokenizer_json, n_vocab=size, eos_token=list(end_tokens), slices=llguidance.LLTokenizer.json_slices()
        )
        if not self.tokenizer.is_canonical:
            raise ModelUnsupported(
                "the model's tokenizer has no canonical tokenisation", hint="convert the model again from its source"
            )

    def encode(self, text: str) -> list[int]:
        """Tokenise plain text; what looks like a special token stays text."""
        return list(self.tokenizer.tokenize_str(text))

    def bytes_of(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of plain tokens; special tokens give none."""
        return b"".join(self._plain_bytes(token) for token in tokens)

    def _plain_bytes(self, token: int) -> bytes:
        if token in self.end_tokens or self.tokenizer.is_special_token(token):
            return b""
        return bytes(self.tokenizer.decode_bytes([token]))

    @cached_property
    def enders(self) -> dict[int, str]:
        """Tokens that can be part of a short legal ending, with their text.

        JSON structure, longest first, then single common characters.
        """
        structure = ("".join(run) for length in (3, 2, 1) for run in product(STRUCTURE, repeat=length))
        encoded = ((self.encode(text), text) for text in (*structure, *_FILLERS))
        return {tokens[0]: text for tokens, text in encoded if len(tokens) == 1}
