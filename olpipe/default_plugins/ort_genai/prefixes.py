"""Sequences kept from request to request, so that what their prompts begin with is prefilled once.

An answer must not depend on what happened to be kept. Forwards of two tokens and more compute every token
alike, however the prompt is cut; forwards of a single token round differently. So only prefilled tokens
are shared, and the rest of a prompt always has two tokens at least. Whether that holds for a package on
this machine is tried with the first prompt that could share anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from olpipe.default_plugins.ort_genai.logits import GeneratorLogits

SMALLEST = 256
"""Tokens of the smallest size class; each next one is twice as large."""

MOST_KEPT = 4
"""Sequences kept at most; together they hold no more tokens than the model's context."""

NARROWEST = 2
"""Tokens of a prompt that are computed anew at least."""

logger = logging.getLogger(__name__)


class Prefixes:
    """The sequences of one model that is asked for one after the other."""

    def __init__(self, open_sequence: Callable[[int], GeneratorLogits], *, context_length: int) -> None:
        """Keep nothing yet.

        Args:
            open_sequence: Makes an empty sequence with room for so many tokens.
            context_length: Most tokens of a sequence, and of all that are kept.
        """
        self._open = open_sequence
        self._context_length = context_length
        self._kept: list[GeneratorLogits] = []  # least recently used first
        self._exact: bool | None = None

    def begin(self, prompt: Sequence[int], length: int) -> tuple[GeneratorLogits, int]:
        """Return a sequence for a prompt, and how many of the prompt's tokens it holds already.

        The sequence's first `append` takes the whole prompt. It belongs to the caller until `keep`.

        Args:
            prompt: Token ids.
            length: Tokens of prompt and answer that must fit.
        """
        if self._exact is False:
            return self._open(length), 0
        sequence = self._take(prompt, length)
        present = shareable(prompt, sequence.prompt)
        if present and self._exact is None:
            self._exact = self._is_exact(sequence, prompt, present)
            if not self._exact:
                logger.debug("rewinding is not exact: every prompt is computed whole")
                self._kept.clear()
                return self._open(length), 0
        sequence.restart(present, max_length=length)
        return sequence, present

    def keep(self, sequence: GeneratorLogits) -> None:
        """Take a sequence back when its request has ended, in whatever way."""
        if sequence.prompt and self._exact is not False:
            self._kept.append(sequence)

    def close(self) -> None:
        """Free what is kept."""
        self._kept.clear()

    def _take(self, prompt: Sequence[int], length: int) -> GeneratorLogits:
        """Take the kept sequence that shares most, or open one where little of a kept one could be used.

        While there is room, a prompt of another kind gets a sequence of its own, so that requests of two
        kinds in turns do not rob each other.
        """
        size = min(max(SMALLEST, 1 << (length - 1).bit_length()), self._context_length)
        fitting = [sequence for sequence in self._kept if sequence.capacity >= length]
        if fitting:
            best = max(fitting, key=lambda sequence: shareable(prompt, sequence.prompt))
            if 2 * shareable(prompt, best.prompt) < len(best.prompt):
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

    def _is_exact(self, sequence: GeneratorLogits, prompt: Sequence[int], present: int) -> bool:
        """Compute a prompt whole and in the narrowest pieces after a rewind, and compare bit by bit."""
        whole = self._open(len(prompt))
        whole.append(prompt)
        cut = max(present, len(prompt) - NARROWEST)
        try:
            sequence.restart(present, max_length=sequence.capacity)
            if cut > present:
                sequence.append(prompt[:cut])
            sequence.restart(cut, max_length=sequence.capacity)
            sequence.append(prompt)
        except RuntimeError:  # a provider or an architecture that cannot rewind
            return False
        return bool(np.array_equal(whole.logits(), sequence.logits()))


def shareable(prompt: Sequence[int], prefilled: Sequence[int]) -> int:
    """Return how many tokens a prompt may share with another that was prefilled."""
    most = min(len(prompt) - NARROWEST, len(prefilled))
    return next((at for at in range(most) if prompt[at] != prefilled[at]), max(most, 0))
