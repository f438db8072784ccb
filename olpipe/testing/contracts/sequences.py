"""The contract of sequences that show logits, which `LogitsRunner` decodes with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from olpipe.decoding.model_sequence import Logits, ModelSequence, RewindableSequence
from olpipe.decoding.prompt import Prompt

TOLERANCE = 1e-3
"""Forwards over different numbers of tokens round a little differently."""


class ModelSequenceContract:
    """Every `ModelSequence`. Give it the fixtures `open_sequence` and `prompt`, which has at least six tokens.

    Attributes:
        vocab_size: Width of the logits; None leaves that open.
    """

    vocab_size: int | None = None

    @pytest.fixture
    def open_sequence(self) -> Callable[[int], ModelSequence]:
        """Return a function that makes an empty sequence with room for a number of tokens."""
        raise NotImplementedError

    @pytest.fixture
    def prompt(self) -> Prompt:
        """Return something that the model reads."""
        raise NotImplementedError

    @pytest.fixture
    def sequence(self, open_sequence: Callable[[int], ModelSequence]) -> ModelSequence:
        """Return an empty sequence."""
        return open_sequence(64)

    def test_it_has_the_room_that_was_asked_for(
        self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt
    ) -> None:
        """Prompt and answer together may have that many tokens."""
        room = len(prompt) + 4
        sequence = open_sequence(room)
        assert sequence.capacity >= room
        sequence.prefill(prompt, 0)
        for token in prompt.tokens[:4]:
            assert np.isfinite(sequence.decode((token,))).any()

    def test_logits_have_one_number_for_each_token(self, sequence: ModelSequence, prompt: Prompt) -> None:
        """They are (vocab_size,) float32, and only those after the last token."""
        for logits in (sequence.prefill(prompt, 0), sequence.decode(prompt.tokens[:1])):
            assert (logits.ndim, logits.dtype.name) == (1, "float32")
            assert self.vocab_size is None or len(logits) == self.vocab_size
            assert len(logits) > max(prompt.tokens)
            assert not np.isnan(logits).any()

    def test_logits_belong_to_the_caller(self, sequence: ModelSequence, prompt: Prompt) -> None:
        """The sequence never writes to them again. The decoder adds biases in place, and compares earlier logits."""
        first = sequence.prefill(prompt, 0)
        kept = first.copy()
        sequence.decode(prompt.tokens[:2])
        sequence.decode(prompt.tokens[2:3])
        assert np.array_equal(first, kept)

    def test_logits_may_be_written_to(self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt) -> None:
        """What the decoder does to them does not reach the model."""
        expected = _all_logits(open_sequence(64), prompt)
        spoilt = open_sequence(64)
        for number in range(2):
            logits = spoilt.prefill(prompt, 0) if number == 0 else spoilt.decode(prompt.tokens[:1])
            assert np.array_equal(logits, expected[number])
            logits[:] = -np.inf
        assert np.array_equal(_all_logits(open_sequence(64), prompt)[0], expected[0])

    def test_every_token_matters(self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt) -> None:
        """That includes the first token of a prompt, and the first of several tokens that are decoded at once."""
        whole = open_sequence(64).prefill(prompt, 0)
        assert not np.array_equal(whole, open_sequence(64).prefill(Prompt(prompt.tokens[1:]), 0))
        one, other = prompt.tokens[0], prompt.tokens[-1]
        ends = []
        for run in ((one, one, one), (other, one, one)):
            sequence = open_sequence(64)
            sequence.prefill(prompt, 0)
            ends.append(sequence.decode(run))
        assert one == other or not np.array_equal(ends[0], ends[1])

    def test_tokens_may_come_together_or_one_by_one(
        self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt
    ) -> None:
        """Tokens that the grammar forces go through the model together with the sampled token, in one forward."""
        together, apart = open_sequence(64), open_sequence(64)
        together.prefill(prompt, 0)
        apart.prefill(prompt, 0)
        found = together.decode(prompt.tokens[:3])
        for token in prompt.tokens[:3]:
            expected = apart.decode((token,))
        assert _close(found, expected)

    def test_a_prompt_may_be_cut(self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt) -> None:
        """Decoding its end gives what prefilling it whole gives."""
        sequence = open_sequence(64)
        sequence.prefill(prompt.beginning(len(prompt) - 2), 0)
        assert _close(sequence.decode(prompt.tokens[-2:]), open_sequence(64).prefill(prompt, 0))

    def test_sequences_know_nothing_of_each_other(
        self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt
    ) -> None:
        """They are opened and run in any order."""
        expected = _all_logits(open_sequence(64), prompt)
        one, other = open_sequence(64), open_sequence(64)
        first = one.prefill(prompt, 0)
        other.prefill(Prompt(prompt.tokens[::-1]), 0)
        second = one.decode(prompt.tokens[:1])
        assert np.array_equal(first, expected[0])
        assert np.array_equal(second, expected[1])

    def test_a_sequence_that_rewinds_forgets_its_end(
        self, open_sequence: Callable[[int], ModelSequence], prompt: Prompt
    ) -> None:
        """It goes on as if the tokens that were cut off had never been there."""
        sequence = open_sequence(64)
        if not isinstance(sequence, RewindableSequence):
            pytest.skip("this sequence does not rewind")
        whole = sequence.prefill(prompt, 0)
        for length in (len(prompt) - 2, 2, 0):
            sequence.decode(prompt.tokens[:3])
            sequence.rewind(length)
            assert _close(sequence.prefill(prompt, length), whole)


def _all_logits(sequence: ModelSequence, prompt: Prompt) -> list[npt.NDArray[np.float32]]:
    """Return copies of the logits after a prompt, and of those after one more token."""
    logits: list[Logits] = [sequence.prefill(prompt, 0).copy()]
    return [*logits, sequence.decode(prompt.tokens[:1]).copy()]


def _close(one: Logits, other: Logits) -> bool:
    return np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
