"""Pick a token from logits: greedy, or by temperature, top-k and top-p."""

from __future__ import annotations

import numpy as np

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logits_model import Logits
from olpipe.generation import SamplingParams


class Sampler:
    """Picks the tokens of one sequence.

    Under a grammar the raw pick is tried first and the mask computed only when it is illegal. That is
    exact when nothing is truncated: greedy needs the best legal token, and for plain temperature
    accepting a legal pick p(t) and otherwise drawing from the masked distribution p(t) / Z gives
    p(t) + (1 - Z) p(t) / Z = p(t) / Z. With top-k or top-p the mask has to come first.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._greedy = params.temperature <= 0
        self._truncates = not self._greedy and (params.top_k > 0 or params.top_p < 1)
        self._random = np.random.default_rng(params.seed)

    def pick(self, logits: Logits, constraint: Constraint | None) -> int:
        """Return the next token.

        Args:
            logits: (vocab_size,) float32; may be overwritten.
            constraint: What the token must satisfy; not changed.
        """
        if constraint is None:
            return self._draw(logits)
        if not self._truncates:
            token = self._draw(logits)
            if constraint.allows(token):
                return token
        logits += constraint.bias()
        return self._draw(logits)

    def _draw(self, logits: Logits) -> int:
        if self._greedy:
            return int(logits.argmax())
        top = self._top_k(logits)
        scores = (logits if top is None else logits[top]).astype(np.float64) / self._params.temperature
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        if self._params.top_p < 1:
            probabilities = _nucleus(probabilities, self._params.top_p)
        cumulative = np.cumsum(probabilities)
        index = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        index = min(index, len(cumulative) - 1)
        return index if top is None else int(top[index])

    def _top_k(self, logits: Logits) -> np.ndarray[tuple[int], np.dtype[np.intp]] | None:
        """Return the ids of the k largest logits, or None when all stay."""
        k = self._params.top_k
        if not 0 < k < len(logits):
            return None
        return np.argpartition(logits, -k)[-k:]


def _nucleus(
    probabilities: np.ndarray[tuple[int], np.dtype[np.float64]], mass: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Zero all but the smallest set of most probable entries that reaches the mass; at least one stays."""
    order = np.argsort(probabilities)[::-1]
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = np.zeros_like(probabilities)
    keep = order[before < mass]
    kept[keep] = probabilities[keep]
    return kept
