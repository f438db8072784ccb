"""Pick a token by its logits: the likeliest one, or one that is drawn after temperature and truncation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olpipe.decoding.constraint import TokenRule
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.penalties import Penalties
from olpipe.decoding.truncation import near_best, nucleus, typical
from olpipe.generation import SamplingParams


class Sampler:
    """Picks the tokens of one sequence: penalties, mask, temperature, top-k, typical, top-p, min-p, in this order.

    The mask is slow. So under a grammar a token is picked without it first, and the mask is computed only when this
    token is illegal. Where nothing is truncated, this is exact:

    - Greedy: when the best of all tokens is legal, it is the best legal token.
    - Temperature: let p(t) be the probability of a token, and Z the sum over all legal tokens. A legal token is drawn
      with p(t). In all other cases, which have the probability 1 - Z, it is drawn from the masked distribution with
      p(t) / Z. Together this is p(t) + (1 - Z) p(t) / Z = p(t) / Z, as it should be.

    Where something is truncated, illegal tokens would take up places among the likeliest. So the mask comes first.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._greedy = params.temperature <= 0
        self._truncates = not self._greedy and (
            params.top_k > 0 or params.top_p < 1 or params.typical_p < 1 or params.min_p > 0
        )
        self._random = np.random.default_rng(params.seed)
        self._penalties = Penalties(params)

    def pick(self, logits: Logits, constraint: TokenRule | None) -> int:
        """Return the next token.

        Args:
            logits: (vocab_size,) float32. They may be overwritten.
            constraint: What the token must satisfy; None for a free text. It is not changed.
        """
        self._penalties.apply(logits, content=constraint is None or constraint.in_string)
        token = self._pick(logits, constraint)
        if constraint is None or constraint.is_content(token):
            self._penalties.note(token)
        return token

    def _pick(self, logits: Logits, constraint: TokenRule | None) -> int:
        """Pick a token that the grammar allows, with the mask only where it is needed."""
        if constraint is None:
            return self._draw(logits)
        if not self._truncates:
            token = self._draw(logits)
            if constraint.allows(token):
                return token
        logits += constraint.bias()
        return self._draw(logits)

    def _draw(self, logits: Logits) -> int:
        """Return the likeliest token, or draw one."""
        if self._greedy:
            return int(logits.argmax())
        # 1. Top-k and temperature give probabilities, (k,) with top-k, else (vocab_size,).
        top = self._top_k(logits)
        scores = (logits if top is None else logits[top]).astype(np.float64) / self._params.temperature
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        # 2. Each truncation takes what the one before it left.
        if self._params.typical_p < 1:
            probabilities = typical(probabilities, self._params.typical_p)
        if self._params.top_p < 1:
            probabilities = nucleus(probabilities, self._params.top_p)
        if self._params.min_p > 0:
            probabilities = near_best(probabilities, self._params.min_p)
        # 3. A random number falls into the share of one entry. Entries of probability 0 have the same sum as the entry
        #    before them, and `right` skips them. The `min` is for a number that rounding brings to the very end.
        cumulative = np.cumsum(probabilities)
        index = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        index = min(index, int(np.flatnonzero(probabilities)[-1]))
        return index if top is None else int(top[index])

    def _top_k(self, logits: Logits) -> npt.NDArray[np.intp] | None:
        """Return the ids of the k largest logits, or None when all stay."""
        k = self._params.top_k
        if not 0 < k < len(logits):
            return None
        return np.argpartition(logits, -k)[-k:]
