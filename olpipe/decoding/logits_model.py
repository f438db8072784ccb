"""The four methods a backend has to offer for olpipe to decode with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a running sequence can hold and do.

    Attributes:
        max_length: Tokens of prompt plus answer that fit.
        can_rewind: Whether `rewind` is exact.
        lookback: How far before the last token logits of the last forward can still be had.
    """

    max_length: int
    can_rewind: bool
    lookback: int = 0


class LogitsModel(Protocol):
    """One sequence on a loaded model: tokens in, logits out."""

    @property
    def limits(self) -> ModelLimits:
        """What the sequence can hold and do."""

    def append(self, tokens: Sequence[int]) -> None:
        """Run one forward over new tokens; together with all before, at most `limits.max_length`."""

    def logits(self, back: int = 0) -> Logits:
        """Return a (vocab_size,) float32 copy of the logits after the last appended token.

        Args:
            back: That many tokens earlier, within the last `append` and at most `limits.lookback`.
        """

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens; the next call must be `append`."""
