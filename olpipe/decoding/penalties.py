"""Change logits before a token is picked: by biases that a request gives, and by penalties for repetition."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.generation import SamplingParams


class Penalties:
    """Changes the logits of one sequence by its biases and by the tokens that it picked lately.

    Tokens of JSON structure are neither remembered nor penalised, because a document has to repeat its quotes and keys.
    The tokens of the prompt do not count.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._biased = np.array([token for token, _ in params.logit_bias], np.intp)
        self._biases = np.array([bias for _, bias in params.logit_bias], np.float32)
        self._recent: deque[int] = deque(maxlen=params.penalty_window)
        self._penalises = params.penalty_window > 0 and (
            params.repeat_penalty != 1 or params.presence_penalty != 0 or params.frequency_penalty != 0
        )

    def note(self, token: int) -> None:
        """Remember a token that was picked as content."""
        if self._penalises:
            self._recent.append(token)

    def apply(self, logits: Logits, *, content: bool) -> None:
        """Change logits in place.

        Args:
            logits: (vocab_size,) float32.
            content: Whether the next token is content. Repetition is penalised only then.
        """
        # 1. Biases. Ids that the model does not have are left out, and a token may have several biases.
        if len(self._biased):
            inside = (self._biased >= 0) & (self._biased < len(logits))
            np.add.at(logits, self._biased[inside], self._biases[inside])
        if not content or not self._recent:
            return
        # 2. Penalties, for each token that was picked lately.
        counts = Counter(self._recent)
        tokens = np.fromiter(counts, dtype=np.intp, count=len(counts))  # (tokens,): each one once
        times = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))  # (tokens,): how often it was picked
        values = logits[tokens]
        values = np.where(values > 0, values / self._params.repeat_penalty, values * self._params.repeat_penalty)
        logits[tokens] = values - self._params.presence_penalty - times * self._params.frequency_penalty
