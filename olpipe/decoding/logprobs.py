"""Say how likely the tokens of a text were: to the model alone, and under the grammar.

Both are computed from the model's logits before anything changes them. The grammar's mask is computed for this whether
the sampler needs it or not. So the values do not depend on how tokens are picked, and the picked tokens do not depend
on whether a request asks for the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olpipe.decoding.constraint import TokenRule
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import UsageError
from olpipe.generation import MOST_TOP_LOGPROBS, Candidate, TokenLogprobs

Logprobs = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The natural logarithms of the probabilities of all tokens at one place of a text.

    Attributes:
        raw: Those of the model alone, (vocab_size,).
        constrained: Those among the tokens that the grammar allows, (vocab_size,); minus infinity for all other tokens.
    """

    raw: Logprobs
    constrained: Logprobs


class Scorer:
    """Makes the logprobs that one request asks for."""

    def __init__(self, vocabulary: Vocabulary, top: int) -> None:
        """Set up for one request.

        Args:
            vocabulary: The model's tokens.
            top: How many of the likeliest tokens to list with each sampled token.

        Raises:
            UsageError: `top` is below 0, or too large.
        """
        if not 0 <= top <= MOST_TOP_LOGPROBS:
            raise UsageError(f"`top_logprobs` must be between 0 and {MOST_TOP_LOGPROBS}, not `{top}`")
        self._vocabulary = vocabulary
        self._top = top

    def read(self, logits: Logits, constraint: TokenRule | None) -> Likelihoods:
        """Return how likely each token is to come next. Neither argument is changed.

        Args:
            logits: The model's logits, (vocab_size,) float32.
            constraint: What the next token must satisfy; None for a free text.
        """
        raw = _log_softmax(logits.astype(np.float64))
        return Likelihoods(raw, raw if constraint is None else _log_softmax(raw + constraint.bias()))

    def sampled(self, token: int, likelihoods: Likelihoods) -> TokenLogprobs:
        """Describe a token that was picked, with the likelihoods at its place."""
        return TokenLogprobs(
            token,
            self._data(token),
            float(likelihoods.raw[token]),
            float(likelihoods.constrained[token]),
            self._likeliest(likelihoods.raw),
            self._likeliest(likelihoods.constrained),
        )

    def forced(self, tokens: Sequence[int]) -> list[TokenLogprobs]:
        """Describe tokens that the grammar left no choice about. Under the grammar their probability is 1."""
        return [TokenLogprobs(token, self._data(token), constrained=0.0) for token in tokens]

    def put_in(self, tokens: Sequence[int]) -> list[TokenLogprobs]:
        """Describe tokens that neither the model nor the grammar asked for."""
        return [TokenLogprobs(token, self._data(token)) for token in tokens]

    def _likeliest(self, logprobs: Logprobs) -> tuple[Candidate, ...]:
        """Return the likeliest tokens, the likeliest first. Of equally likely tokens, the lower id comes first."""
        if not self._top:
            return ()
        # Sorting the whole vocabulary would be slow. So the least of the values to list is found first.
        least = np.partition(logprobs, -self._top)[-self._top] if self._top < len(logprobs) else -np.inf
        tokens = np.flatnonzero((logprobs >= least) & (logprobs > -np.inf))
        order = tokens[np.argsort(-logprobs[tokens], kind="stable")][: self._top]
        return tuple(Candidate(int(token), self._data(int(token)), float(logprobs[token])) for token in order)

    def _data(self, token: int) -> tuple[int, ...]:
        return tuple(self._vocabulary.bytes_of((token,)))


def _log_softmax(values: Logprobs) -> Logprobs:
    """Return the logarithm of the softmax, (vocab_size,). The largest value is taken out, so that nothing overflows."""
    best = values.max()
    result: Logprobs = values - (best + np.log(np.exp(values - best).sum()))
    return result
