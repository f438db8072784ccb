"""Make prompts that ask a model for the text between two other texts. Code editors do this."""

from __future__ import annotations

from collections.abc import Collection

from olpipe.decoding.vocabulary import Vocabulary

# A prompt consists of: first token, text before the gap, second token, text behind the gap, third token.
# Sources: the vocabularies of Qwen2.5-Coder and CodeGemma, of StarCoder2 and Granite, of DeepSeek-Coder, of CodeLlama.
_GAP_TOKENS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
)


def marks_gaps(tokens: Collection[str]) -> bool:
    """Say whether tokens, given by their spellings, include those that stand around a gap."""
    return any(all(spelling in tokens for spelling in spellings) for spellings in _GAP_TOKENS)


class Gaps:
    """The tokens of one model that stand around a gap."""

    def __init__(self, vocabulary: Vocabulary, *, begin: str = "") -> None:
        """Look for the tokens.

        Args:
            vocabulary: The model's tokens.
            begin: The text that every prompt of the model begins with; often empty.
        """
        self._vocabulary = vocabulary
        self._begin = begin
        found = (tuple(map(vocabulary.token_of, spellings)) for spellings in _GAP_TOKENS)
        self._tokens = next((tokens for tokens in found if None not in tokens), None)

    @property
    def known(self) -> bool:
        """Whether the model was trained to fill gaps."""
        return self._tokens is not None

    def ask(self, before: str, behind: str) -> tuple[int, ...]:
        """Return the tokens of a prompt that asks for the text between two others.

        Raises:
            ValueError: The model was not trained to fill gaps: ask `known` first.
        """
        if self._tokens is None:
            raise ValueError("the vocabulary has no tokens to mark a gap with")
        encode, quote = self._vocabulary.encode, self._vocabulary.quote
        first, second, third = (token for token in self._tokens if token is not None)
        return (*encode(self._begin), first, *encode(quote(before)), second, *encode(quote(behind)), third)
