"""What a backend has to offer for olpipe to decode with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a running sequence can hold.

    Attributes:
        max_length: Tokens of prompt plus answer that fit.
    """

    max_length: int


class LogitsModel(Protocol):
    """One sequence on a loaded model: tokens in, logits out."""

    @property
    def limits(self) -> ModelLimits:
        """What the sequence can hold."""

    def append(self, tokens: Sequence[int]) -> None:
        """Run one forward over new tokens; together with all before, at most `limits.max_length`."""

    def logits(self) -> Logits:
        """Return a (vocab_size,) float32 copy of the logits after the last appended token."""
