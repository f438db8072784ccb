"""A model's tokens as bytes, built once per model and shared by all its requests."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import llguidance

from olpipe.errors import ModelCorrupt, ModelUnsupported

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
        self._spelling_of: dict[int, str] = {token["id"]: token["content"] for token in added}
        # llguidance takes every `<…>` for special. Some are text: Gemma has `<table>` and other tags of HTML.
        self._plain = frozenset(token["id"] for token in added if not token.get("special", True))
        # Gemma has tokens of spaces and line breaks only. They end no turn.
        spellings = sorted((one for one in self._spelling_of.values() if one.strip()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, spellings)) or "(?!)")
        self._beginnings = frozenset(one[:size] for one in spellings for size in range(1, len(one)))
        self._longest_beginning = max(map(len, self._beginnings), default=0)
        self.tokenizer: Any = llguidance.LLTokenizer(
            tokenizer_json, n_vocab=size, eos_token=list(end_tokens), slices=llguidance.LLTokenizer.json_slices()
        )
        if not self.tokenizer.is_canonical:
            raise ModelUnsupported(
                "the model's tokenizer has no canonical tokenisation", hint="convert the model again from its source"
            )

    @classmethod
    def read(cls, package: Path, *, size: int | None = None, end_tokens: Sequence[int] | None = None) -> Self:
        """Read the files that model makers write, `tokenizer.json` and `tokenizer_config.json`.

        Args:
            package: The folder that they lie in.
            size: Width of the logits; None takes as many as the tokenizer has tokens.
            end_tokens: Ids that end an answer; None takes the `eos_token` of the configuration.

        Raises:
            ModelCorrupt: A file is missing or damaged.
            ModelUnsupported: The tokenizer's merges cannot be reproduced byte by byte.
        """
        try:
            text = (package / "tokenizer.json").read_text(encoding="utf-8")
            tokenizer = json.loads(text)
            known = {**tokenizer["model"]["vocab"], **{one["content"]: one["id"] for one in tokenizer["added_tokens"]}}
            if end_tokens is None:
                config = json.loads((package / "tokenizer_config.json").read_text(encoding="utf-8"))
                named = config["eos_token"]
                end_tokens = [known[named["content"] if isinstance(named, dict) else named]]
            return cls(text, size=max(known.values()) + 1 if size is None else size, end_tokens=end_tokens)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ModelCorrupt(f"the tokenizer in `{package}` cannot be read: {reason}") from error

    def encode(self, text: str) -> list[int]:
        """Tokenise text. A special token that it spells out becomes that token, unless `quote` marked it."""
        pieces = (self.tokenizer.tokenize_str(piece, parse_special=True) for piece in text.split(_QUOTE))
        return [token for piece in pieces for token in piece]

    def quote(self, text: str) -> str:
        """Mark what looks like a special token, so that `encode` takes it for plain text.

        Without this, the text of a user could end a turn, begin another one or add an image's place. Nor may what
        stands behind the text complete a token that the text begins.
        """
        text = text.replace(_QUOTE, "")
        ends = (text[-size:] for size in range(1, min(len(text), self._longest_beginning) + 1))
        opened = any(end in self._beginnings and not end.isalnum() for end in ends)
        quoted = self._special.sub(lambda match: match[0][0] + _QUOTE + match[0][1:], text)
        return quoted + _QUOTE if opened else quoted

    def bytes_of(self, tokens: Sequence[int], *, visible: Collection[int] = ()) -> bytes:
        """Return the bytes of tokens.

        Args:
            tokens: Token ids.
            visible: Special tokens that give the bytes of their spelling. All others give none.
        """
        return b"".join(self._bytes(token, visible) for token in tokens)

    def _bytes(self, token: int, visible: Collection[int]) -> bytes:
        if token in visible or (token in self._plain and token not in self.end_tokens):
            return self._spelling_of[token].encode()
        if token in self.end_tokens or self.tokenizer.is_special_token(token):
            return b""
        return bytes(self.tokenizer.decode_bytes([token]))

    def special_in(self, texts: Iterable[str]) -> frozenset[int]:
        """Return the special tokens whose spelling occurs in some text."""
        joined = "\n".join(texts)
        return frozenset(token for token, spelling in self._spelling_of.items() if spelling in joined)

    def token_of(self, spelling: str) -> int | None:
        """Return the added token of that spelling, or None where there is none."""
        return next((token for token, known in self._spelling_of.items() if known == spelling), None)

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
