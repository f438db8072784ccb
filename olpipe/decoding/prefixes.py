"""Sequences kept from request to request, so that what their prompts begin with is prefilled once.

An answer must not depend on what happened to be kept. Forwards of two tokens and more compute every token
alike, however the prompt is cut; forwards of a single token round differently. So only prefilled tokens
are shared, and the rest of a prompt always has two tokens at least. Whether that holds for a model on
this machine is tried with the first prompt that could share anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from olpipe.decoding.model_sequence import Logits, ModelSequence, RewindableSequence
from olpipe.decoding.prompt import NARROWEST, Identity, Prompt, shareable

SMALLEST = 256
"""Tokens of the smallest size class; each next one is twice as large."""

MOST_KEPT = 4
"""Sequences kept at most; together they hold no more tokens than the model's context."""

logger = logging.getLogger(__name__)


class KeptSequence:
    """A sequence with what is known of its KV cache.

    Attributes:
        capacity: Tokens that it has room for.
        prefilled: What the first positions of the KV cache show: those that were prefilled, not decoded.
        reused: How many of them the running request takes over.
    """

    def __init__(self, sequence: ModelSequence) -> None:
        """Take an empty sequence."""
        self.capacity = sequence.capacity
        self.prefilled: Identity = ()
        self.reused = 0
        self._sequence = sequence
        self._dirty = False  # whether there is anything to forget

    @property
    def rewinds(self) -> bool:
        """Whether it can forget its end."""
        return isinstance(self._sequence, RewindableSequence)

    def restart(self, reused: int) -> None:
        """Begin another request that takes over the first positions."""
        self.prefilled, self.reused = self.prefilled[:reused], reused

    def prefill(self, prompt: Prompt) -> Logits:
        """Run what the prompt does not share, and return the logits behind it."""
        if self._dirty and isinstance(self._sequence, RewindableSequence):
            self._sequence.rewind(self.reused)
        self._dirty, self.prefilled = True, ()  # after a failure nothing here can be trusted
        logits = self._sequence.prefill(prompt, self.reused)
        self.prefilled = prompt.identity
        return logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of the answer, and return the logits behind them."""
        prefilled, self.prefilled = self.prefilled, ()  # as in `prefill`
        logits = self._sequence.decode(tokens)
        self.prefilled = prefilled
        return logits


class Prefixes:
    """The sequences of one model that answers one request after the other."""

    def __init__(self, open_sequence: Callable[[int], ModelSequence], *, context_length: int) -> None:
        """Keep nothing yet.

        Args:
            open_sequence: Makes an empty sequence with room for so many tokens.
            context_length: Most tokens of a sequence, and of all that are kept.
        """
        self._open_sequence = open_sequence
        self._context_length = context_length
        self._kept: list[KeptSequence] = []  # least recently used first
        self._exact: bool | None = None

    def take(self, prompt: Prompt, length: int) -> KeptSequence:
        """Return a sequence for a prompt. It belongs to the caller until `keep`.

        Args:
            prompt: What will be prefilled.
            length: Tokens of prompt and answer that must fit.
        """
        if self._exact is False:
            return self._open(length)
        sequence = self._choose(prompt, length)
        present = shareable(prompt.identity, sequence.prefilled)
        if present and self._exact is None:
            self._exact = self._is_exact(sequence, prompt, present)
            if not self._exact:
                logger.debug("rewinding is not exact: every prompt is computed whole")
                self._kept.clear()
                return self._open(length)
        sequence.restart(present)
        return sequence

    def keep(self, sequence: KeptSequence) -> None:
        """Take a sequence back when its request has ended, in whatever way."""
        if sequence.prefilled and sequence.rewinds and self._exact is not False:
            self._kept.append(sequence)

    def close(self) -> None:
        """Free what is kept."""
        self._kept.clear()

    def _open(self, length: int) -> KeptSequence:
        return KeptSequence(self._open_sequence(length))

    def _choose(self, prompt: Prompt, length: int) -> KeptSequence:
        """Take the kept sequence that shares most, or open one where little of a kept one could be used.

        While there is room, a prompt of another kind gets a sequence of its own, so that requests of two
        kinds in turns do not rob each other.
        """
        size = min(max(SMALLEST, 1 << (length - 1).bit_length()), self._context_length)
        fitting = [sequence for sequence in self._kept if sequence.capacity >= length]
        if fitting:
            best = max(fitting, key=lambda sequence: shareable(prompt.identity, sequence.prefilled))
            if 2 * shareable(prompt.identity, best.prefilled) < len(best.prefilled):
                best = fitting[0]
                if self._has_room(size):
                    return self._open(size)
            self._kept.remove(best)
            return best
        while self._kept and not self._has_room(size):
            del self._kept[0]
        return self._open(size)

    def _has_room(self, size: int) -> bool:
        held = sum(sequence.capacity for sequence in self._kept)
        return len(self._kept) < MOST_KEPT and held + size <= self._context_length

    def _is_exact(self, sequence: KeptSequence, prompt: Prompt, present: int) -> bool:
        """Compute a prompt whole and in the narrowest pieces after a rewind, and compare bit by bit."""
        whole = self._open(len(prompt)).prefill(prompt)
        cut = max(present, len(prompt) - NARROWEST)
        try:
            sequence.restart(present)
            if cut > present:
                sequence.prefill(prompt.beginning(cut))
            sequence.restart(cut)
            return np.array_equal(whole, sequence.prefill(prompt))
        except RuntimeError:  # a provider or an architecture that cannot rewind
            return False
