"""The vocabularies of tiny vision models: all bytes, a few words, and the special tokens of each family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from olpipe.testing.models import SPECIAL_TOKENS, vocabulary

_CONTROL_TOKEN, _NORMAL_TOKEN = 3, 1
_NEWLINE = "Ċ"
"""How byte-level BPE writes a line break."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a tiny vocabulary has beside bytes and words.

    Attributes:
        special: The special tokens, in the order of their ids. They come last.
        begin: The token at the beginning of a text.
        end: The token that ends an answer.
        padding: The token that fills up shorter rows.
        chat_template: A Jinja template.
        pre_tokenizer: The name of the rule that cuts a text into words.
        add_begin: Whether a text always begins with `begin`.
        blank_line: Whether two line breaks are one token.
    """

    special: Sequence[str]
    begin: str
    end: str
    padding: str
    chat_template: str
    pre_tokenizer: str = "smollm"
    add_begin: bool = False
    blank_line: bool = False

    def tokens(self) -> list[str]:
        """Return all tokens, as byte-level BPE writes them."""
        words, _ = self._merged()
        return words + list(self.special)

    def metadata(self) -> dict[str, Any]:
        """Return what a file says about the tokenizer."""
        _, merges = self._merged()
        tokens = self.tokens()
        control = {*SPECIAL_TOKENS, *self.special}
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": self.pre_tokenizer,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [_CONTROL_TOKEN if one in control else _NORMAL_TOKEN for one in tokens],
            "tokenizer.ggml.merges": merges,
            "tokenizer.ggml.bos_token_id": tokens.index(self.begin),
            "tokenizer.ggml.eos_token_id": tokens.index(self.end),
            "tokenizer.ggml.padding_token_id": tokens.index(self.padding),
            "tokenizer.ggml.add_bos_token": self.add_begin,
            "tokenizer.chat_template": self.chat_template,
        }

    def _merged(self) -> tuple[list[str], list[str]]:
        tokens, merges = vocabulary()
        if not self.blank_line:
            return tokens, merges
        return [*tokens, 2 * _NEWLINE], [*merges, f"{_NEWLINE} {_NEWLINE}"]
