"""What a backend has to offer for olpipe to decode with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from olpipe.decoding.prompt import Prompt

Logits = npt.NDArray[np.float32]
"""(vocab_size,) float32: one number for each token, the larger the likelier."""


class ModelSequence(Protocol):
    """One sequence of tokens on a loaded model, with its KV cache.

    Attributes:
        capacity: Tokens of prompt and answer that it has room for.
    """

    capacity: int

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt through the model.

        Args:
            prompt: The whole prompt.
            start: Where to begin: what lies before is in the KV cache already. 0 begins anew.

        Returns:
            The logits after the prompt's last token. The array is the caller's, who writes to it: the sequence
            neither reads it nor writes to it again.
        """

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of the answer through the model, behind all that is there; returns as `prefill`."""


@runtime_checkable
class RewindableSequence(ModelSequence, Protocol):
    """A sequence that can forget its end, so that the next prompt may share its beginning."""

    def rewind(self, length: int) -> None:
        """Forget everything but the first `length` tokens; a `prefill` from there follows."""
