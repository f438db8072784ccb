"""What may come next in one guided text: a matcher, its mask, and what it leaves no choice about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import GenerationError
from olpipe.guidance.outline import Outline

# Row b holds what to add to the logits of eight tokens whose mask bits are the byte b (lowest bit first).
_BYTE_TO_BIAS = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 0, -np.inf
).astype(np.float32)  # (256, 8)

# Bytes that end a string or escape what follows.
_STRUCTURE = frozenset(b'"\\')


class Constraint:
    """The grammar's state for one sequence. Made from a compiled grammar, whose matcher is copied."""

    def __init__(self, matcher: Any, vocabulary: Vocabulary, outline: Outline | None) -> None:
        """Set up for one text.

        Args:
            matcher: A fresh matcher.
            vocabulary: The model's tokens.
            outline: Where the text stands when it is JSON; None for texts of other kinds.
        """
        self._matcher = matcher
        self._vocabulary = vocabulary
        self.outline = outline

    def copy(self) -> Constraint:
        """Return an independent constraint in the same state."""
        return Constraint(self._matcher.deep_copy(), self._vocabulary, self.outline and self.outline.copy())

    @property
    def complete(self) -> bool:
        """Whether the text is whole and nothing more may follow."""
        self._check()
        return bool(self._matcher.is_stopped())

    @property
    def acceptable(self) -> bool:
        """Whether the text could end here."""
        return bool(self._matcher.is_accepting())

    @property
    def in_string(self) -> bool:
        """Whether the text is JSON and stands inside a string."""
        return self.outline is not None and self.outline.in_string

    def is_content(self, token: int) -> bool:
        """Whether a token would add to the text of the string that is open, and not end it."""
        return self.in_string and not _STRUCTURE.intersection(self._vocabulary.bytes_of((token,)))

    @property
    def strings(self) -> int:
        """How many strings of the JSON text are closed."""
        return self.outline.strings if self.outline is not None else 0

    def allows(self, token: int) -> bool:
        """Say whether a token may come next, without computing a mask."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def consume(self, token: int) -> None:
        """Take the next token."""
        self._matcher.consume_token(token)
        self._check()
        self._note((token,))

    def take_forced(self) -> list[int]:
        """Take and return the tokens that are the only canonical way on; often none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens:
            self._matcher.consume_tokens(tokens)
            self._check()
            self._note(tokens)
        return tokens

    def take_forced_bytes(self) -> list[int]:
        """Take and return tokens of the bytes that must come next, canonical or not; often none."""
        tokens: list[int] = self._vocabulary.tokenizer.tokenize_bytes(self._matcher.compute_ff_bytes())
        taken = tokens[: self._matcher.try_consume_tokens(tokens)] if tokens else []
        self._note(taken)
        return taken

    def bias(self) -> Logits:
        """Return a (vocab_size,) float32 array: 0 where a token may come next, else minus infinity."""
        return _BYTE_TO_BIAS[np.frombuffer(self.mask(), dtype=np.uint8)].reshape(-1)[: self._vocabulary.size]

    def mask(self) -> bytes:
        """Return one bit per token, lowest first, set where a token may come next."""
        mask: bytes = self._matcher.compute_bitmask()
        self._check()
        return mask

    def _note(self, tokens: Sequence[int]) -> None:
        if self.outline is not None:
            self.outline.advance(self._vocabulary.bytes_of(tokens).decode("latin-1"))

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GenerationError(
                f"the grammar cannot go on: {self._matcher.get_error().splitlines()[0]}",
                hint="make the schema simpler or smaller",
            )
