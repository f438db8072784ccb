"""A model's tokens as bytes, built once per model and shared by all its requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import product
from typing import Any

import llguidance

from olpipe.errors import ModelUnsupported

STRUCTURE = '"]},:[{'
# One of each class first: a pattern that takes one digit mostly takes any, and 1111-11-11 is a date.
FILLERS = "1aA-.@:/ _+,0tfnTZWDMYHSPbcdeghijklmopqrsuvwxyzBCEFGIJKLNOQRUVX23456789"

# A noncharacter, so no text that is meant to be exchanged contains it.
_QUOTE = "\ufdd0"


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
        added = json.loads(tokenizer_json).get("added_tokens", ())
        spellings = sorted((token["content"] for token in added), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, spellings)) or "(?!)")
        self.tokenizer: Any = llguidance.LLTokenizer(
            tokenizer_json, n_vocab=size, eos_token=list(end_tokens), slices=llguidance.LLTokenizer.json_slices()
        )
        if not self.tokenizer.is_canonical:
            raise ModelUnsupported(
                "the model's tokenizer has no canonical tokenisation", hint="convert the model again from its source"
            )

    def encode(self, text: str) -> list[int]:
        """Tokenise text; special tokens that it spells out become those tokens, but for `quote`d ones."""
        pieces = (self.tokenizer.tokenize_str(piece, parse_special=True) for piece in text.split(_QUOTE))
        return [token for piece in pieces for token in piece]

    def quote(self, text: str) -> str:
        """Mark what looks like a special token, so that `encode` takes it for the text it is.

        Whoever writes a prompt must not be able to end a turn or to begin another's.
        """
        return self._special.sub(lambda match: match[0][0] + _QUOTE + match[0][1:], text.replace(_QUOTE, ""))

    def bytes_of(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of plain tokens; special tokens give none."""
        return b"".join(self._plain_bytes(token) for token in tokens)

    def _plain_bytes(self, token: int) -> bytes:
        if token in self.end_tokens or self.tokenizer.is_special_token(token):
            return b""
        return bytes(self.tokenizer.decode_bytes([token]))

    def spellings(self, words: Iterable[str]) -> frozenset[int]:
        """Return the tokens that are one of these words: after a space, or with a capital at the start of a text.

        A word of several tokens has none: its parts are parts of other words, too.
        """
        forms = (form for word in words for form in (f" {word}", f" {word.capitalize()}", word.capitalize()))
        encoded = (self.tokenizer.tokenize_str(form) for form in forms)
        return frozenset(tokens[0] for tokens in encoded if len(tokens) == 1)

    @cached_property
    def enders(self) -> dict[int, str]:
        """Tokens that can be part of a short legal ending, with their text.

        JSON structure, longest first, then single common characters.
        """
        structure = ("".join(run) for length in (3, 2, 1) for run in product(STRUCTURE, repeat=length))
        encoded = ((self.encode(text), text) for text in (*structure, *FILLERS))
        return {tokens[0]: text for tokens, text in encoded if len(tokens) == 1}
