"""Guess the next token, and let the model check the guess in the forward it runs anyway.

A forward over two tokens costs little more than one over a single token. So a guess, appended behind
the tokens that have to be run, is nearly free: when the sampler then picks just that token, the
logits after it are at hand and a forward is saved; when it does not, the guess is taken back.
What is picked never depends on the guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logits_model import Logits, LogitsModel

CONTEXT = 2
"""Tokens that must have occurred before for what followed them to be a guess."""


class LookupDrafter:
    """Guesses what followed the last time that the same two tokens came one after the other."""

    def __init__(self) -> None:
        self._following: dict[tuple[int, ...], int] = {}
        self._recent: tuple[int, ...] = ()

    def extend(self, tokens: Sequence[int]) -> None:
        """Take tokens of the prompt or of the text so far."""
        for token in tokens:
            if len(self._recent) == CONTEXT:
                self._following[self._recent] = token
            self._recent = (*self._recent, token)[-CONTEXT:]

    def guess(self) -> int | None:
        """Return the token that may come next, or None."""
        return self._following.get(self._recent)


class DraftedForwards:
    """Runs a sequence's forwards with a guess behind each, where the model can check it."""

    def __init__(self, model: LogitsModel, constraint: Constraint) -> None:
        self._model = model
        self._constraint = constraint
        self._drafter = LookupDrafter()
        self._enabled = model.limits.lookback > 0 and model.limits.can_rewind
        self._length = 0  # of what the text has, in the model
        self._guess: int | None = None  # what the model holds beyond that

    def advance(self, tokens: Sequence[int]) -> Logits:
        """Add tokens to the sequence and return the logits after them.

        Args:
            tokens: At least one. The constraint must already have taken those that are text.
        """
        self._drafter.extend(tokens)
        if self._guess is not None:
            guess, self._guess = self._guess, None
            if tokens[0] == guess:
                self._length += 1
                if len(tokens) == 1:
                    return self._model.logits()
                tokens = tokens[1:]
            else:
                self._model.rewind(self._length)
        self._length += len(tokens)
        self._guess = self._next_guess()
        if self._guess is None:
            self._model.append(tokens)
            return self._model.logits()
        self._model.append([*tokens, self._guess])
        return self._model.logits(back=1)

    def _next_guess(self) -> int | None:
        """Return a guess that the grammar allows and that fits."""
        if not self._enabled or self._length >= self._model.limits.max_length:
            return None
        guess = self._drafter.guess()
        return guess if guess is not None and self._constraint.allows(guess) else None
