"""Pick a token from logits: greedy, or drawn after temperature and truncation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.penalties import Penalties
from olpipe.decoding.truncation import near_best, nucleus, typical
from olpipe.generation import SamplingParams


class Sampler:
    """Picks the tokens of one sequence: penalties, mask, temperature, top-k, typical, top-p, min-p, in this order.

    Under a grammar the raw pick is tried first and the mask computed only when it is illegal. That is
    exact when nothing is truncated: greedy needs the best legal token, and for plain temperature
    accepting a legal pick p(t) and otherwise drawing from the masked distribution p(t) / Z gives
    p(t) + (1 - Z) p(t) / Z = p(t) / Z. Where something is truncated the mask has to come first.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._greedy = params.temperature <= 0
        self._truncates = not self._greedy and (
            params.top_k > 0 or params.top_p < 1 or params.typical_p < 1 or params.min_p > 0
        )
        self._random = np.random.default_rng(params.seed)
        self._penalties = Penalties(params)

    def pick(self, logits: Logits, constraint: Constraint | None) -> int:
        """Return the next token.

        Args:
            logits: (vocab_size,) float32; may be overwritten.
            constraint: What the token must satisfy; not changed.
        """
        self._penalties.apply(logits, content=constraint is None or constraint.in_string)
        token = self._pick(logits, constraint)
        if constraint is None or constraint.is_content(token):
            self._penalties.note(token)
        return token

    def _pick(self, logits: Logits, constraint: Constraint | None) -> int:
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
        if self._params.typical_p < 1:
            probabilities = typical(probabilities, self._params.typical_p)
        if self._params.top_p < 1:
            probabilities = nucleus(probabilities, self._params.top_p)
        if self._params.min_p > 0:
            probabilities = near_best(probabilities, self._params.min_p)
        cumulative = np.cumsum(probabilities)
        # The last of equal sums belongs to an entry of probability 0: `right` passes those over.
        index = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        index = min(index, int(np.flatnonzero(probabilities)[-1]))
        return index if top is None else int(top[index])

    def _top_k(self, logits: Logits) -> npt.NDArray[np.intp] | None:
        """Return the ids of the k largest logits, or None when all stay."""
        k = self._params.top_k
        if not 0 < k < len(logits):
            return None
        return np.argpartition(logits, -k)[-k:]
