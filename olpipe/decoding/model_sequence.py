"""The sequence of tokens on a model that a backend has to provide, so that olpipe can decode with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from olpipe.decoding.prompt import Prompt

Logits = npt.NDArray[np.float32]
"""(vocab_size,) float32: one number for each token. The larger it is, the likelier the token comes next."""


class ModelSequence(Protocol):
    """One sequence of tokens on a loaded model, with its KV cache.

    Attributes:
        capacity: How many tokens of prompt and answer it has room for.
    """

    capacity: int

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt through the model.

        Args:
            prompt: The whole prompt.
            start: The first position to run. All positions before it are in the KV cache already. 0 runs everything.

        Returns:
            The logits after the prompt's last token. The array belongs to the caller, who may write to it. So the
            sequence must neither read it nor write to it again.
        """

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of the answer through the model, after all tokens so far; returns what `prefill` returns."""


@runtime_checkable
class RewindableSequence(ModelSequence, Protocol):
    """A sequence that can forget its last tokens, so that the next prompt may share its first ones."""

    def rewind(self, length: int) -> None:
        """Forget everything but the first `length` tokens. The next call is a `prefill` from there."""
