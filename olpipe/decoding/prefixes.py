"""Keep sequences from one request to the next, so that prompts with the same beginning prefill it only once.

An answer must not depend on which sequences were kept. A forward of two or more tokens computes each token in the same
way, however a prompt is cut into forwards. A forward of a single token may round differently. So only tokens that were
prefilled are shared, not those that were decoded, and at least two tokens of a prompt are always computed anew. Whether
this is exact for a model on this machine is tested once, with the first prompt that could share something.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from olpipe.decoding.model_sequence import Logits, ModelSequence, RewindableSequence
from olpipe.decoding.prompt import NARROWEST, Identity, Prompt, shareable

SMALLEST = 256
"""Tokens of the smallest sequence. Larger ones have twice as many, four times as many, and so on."""

MOST_KEPT = 4
"""Most sequences that are kept. All together they have room for no more tokens than the model's context."""

logger = logging.getLogger(__name__)


class KeptSequence:
    """A sequence, and what is known of its KV cache.

    Attributes:
        capacity: How many tokens it has room for.
        prefilled: What its first positions show, as far as they were prefilled and not decoded.
        reused: How many of these positions the present request takes over.
    """

    def __init__(self, sequence: ModelSequence) -> None:
        """Take an empty sequence."""
        self.capacity = sequence.capacity
        self.prefilled: Identity = ()
        self.reused = 0
        self._sequence = sequence
        self._dirty = False  # whether the KV cache holds anything that has to be forgotten

    @property
    def rewinds(self) -> bool:
        """Whether it can forget its last tokens."""
        return isinstance(self._sequence, RewindableSequence)

    def restart(self, reused: int) -> None:
        """Begin another request, which takes over the first `reused` positions."""
        self.prefilled, self.reused = self.prefilled[:reused], reused

    def prefill(self, prompt: Prompt) -> Logits:
        """Run the part of a prompt that is not in the KV cache; returns the logits after it, (vocab_size,)."""
        if self._dirty and isinstance(self._sequence, RewindableSequence):
            self._sequence.rewind(self.reused)
        self._dirty, self.prefilled = True, ()  # if this fails, nobody may share what is half written
        logits = self._sequence.prefill(prompt, self.reused)
        self.prefilled = prompt.identity
        return logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of the answer; returns the logits after them, (vocab_size,)."""
        prefilled, self.prefilled = self.prefilled, ()  # as in `prefill`
        logits = self._sequence.decode(tokens)
        self.prefilled = prefilled
        return logits


class Prefixes:
    """The sequences of a model that answers one request after the other."""

    def __init__(
        self, open_sequence: Callable[[int], ModelSequence], *, context_length: int, images_first: bool = False
    ) -> None:
        """Set up without any sequence.

        Args:
            open_sequence: Makes an empty sequence that has room for a number of tokens.
            context_length: Most tokens of one sequence, and also of all kept sequences together.
            images_first: Whether sequences take images only together with the first tokens of a prompt.
        """
        self._open_sequence = open_sequence
        self._shareable = partial(shareable, images_first=images_first)
        self._context_length = context_length
        self._kept: list[KeptSequence] = []  # least recently used first
        self._exact: bool | None = None  # whether sharing changes no logits; None until it was tested

    def take(self, prompt: Prompt, length: int) -> KeptSequence:
        """Return a sequence for a prompt. It belongs to the caller until the caller gives it to `keep`.

        Args:
            prompt: The prompt that will be prefilled.
            length: How many tokens of prompt and answer it must have room for.
        """
        # 1. Where sharing is not exact, every request gets a new sequence.
        if self._exact is False:
            return self._open(length)
        # 2. A kept sequence or a new one, and how many positions of the prompt it holds.
        sequence = self._choose(prompt, length)
        present = self._shareable(prompt.identity, sequence.prefilled)
        # 3. The first prompt that could share something tests whether that is exact.
        if present and self._exact is None:
            self._exact = self._is_exact(sequence, prompt, present)
            if not self._exact:
                logger.debug("rewinding is not exact, so every prompt is computed as a whole")
                self._kept.clear()
                return self._open(length)
        sequence.restart(present)
        return sequence

    def keep(self, sequence: KeptSequence) -> None:
        """Take a sequence back when its request has ended, whether it succeeded or failed."""
        if sequence.prefilled and sequence.rewinds and self._exact is not False:
            self._kept.append(sequence)

    def close(self) -> None:
        """Free all kept sequences."""
        self._kept.clear()

    def _open(self, length: int) -> KeptSequence:
        return KeptSequence(self._open_sequence(length))

    def _choose(self, prompt: Prompt, length: int) -> KeptSequence:
        """Return the kept sequence that shares most with a prompt, or a new one.

        A prompt that shares less than half of what that sequence holds gets another sequence. Without this, two kinds
        of prompts in turns would overwrite each other's sequence, and nothing would ever be shared. An image is worth
        more than the text behind it: a prompt that shares one gets the sequence in any case.
        """
        size = min(max(SMALLEST, 1 << (length - 1).bit_length()), self._context_length)
        # 1. The kept sequence that shares most. If it shares little: a new one while there is room for it, else the one
        #    that was not used for the longest time.
        fitting = [sequence for sequence in self._kept if sequence.capacity >= length]
        if fitting:
            best = max(fitting, key=lambda sequence: self._shareable(prompt.identity, sequence.prefilled))
            shared = self._shareable(prompt.identity, best.prefilled)
            if 2 * shared < len(best.prefilled) and not _has_image(best.prefilled[:shared]):
                best = fitting[0]
                if self._has_room(size):
                    return self._open(size)
            self._kept.remove(best)
            return best
        # 2. No kept sequence is large enough: a new one, and old ones are freed to make room for it.
        while self._kept and not self._has_room(size):
            del self._kept[0]
        return self._open(size)

    def _has_room(self, size: int) -> bool:
        """Say whether one more sequence of a size may be kept."""
        held = sum(sequence.capacity for sequence in self._kept)
        return len(self._kept) < MOST_KEPT and held + size <= self._context_length

    def _is_exact(self, sequence: KeptSequence, prompt: Prompt, present: int) -> bool:
        """Say whether a prompt gives the same logits, bit by bit, when it is computed in pieces with rewinds.

        Args:
            sequence: A kept sequence.
            prompt: The prompt.
            present: How many positions of the prompt the sequence holds.
        """
        # 1. As a whole, in a new sequence.
        whole = self._open(len(prompt)).prefill(prompt)
        # 2. In pieces: what is present, all further tokens but the last few, and these last few.
        cut = max(present, prompt.whole(len(prompt) - NARROWEST))
        try:
            sequence.restart(present)
            if cut > present:
                sequence.prefill(prompt.beginning(cut))
            sequence.restart(cut)
            return np.array_equal(whole, sequence.prefill(prompt))
        except RuntimeError:  # an execution provider or an architecture that cannot rewind
            return False


def _has_image(identity: Identity) -> bool:
    return any(isinstance(item, tuple) for item in identity)
