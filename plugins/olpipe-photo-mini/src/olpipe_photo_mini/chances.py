"""How likely it is that what the networks say is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from olpipe_photo_mini.thresholds import LARGEST_SHARE, NEUTRAL

SMALLEST = 1e-4
"""Scores are kept this far from 0 and from 1, where their logit is infinite."""

LEAST_OWN, LEAST_CONTEXT, LEAST_SHARE = 0.01, 0.02, 0.001
"""What is added to a probability or to a share of the photo before its logarithm, so that 0 has one."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A detection, and what the classifier thinks of it.

    Attributes:
        score: The detector's score.
        share: The share of the photo that the box fills.
        own: The probability that the classifier gives to this name, None if it does not know the name.
        context: The probability that it gives to the groups and places that the name belongs to, `own` among them.
    """

    score: float
    share: float
    own: float | None
    context: float | None

    @property
    def features(self) -> tuple[float, float, float, float]:
        """What the chance depends on. Where the classifier does not know the name, its two features are 0."""
        return (
            logit(self.score),
            0.0 if self.own is None else math.log((self.own + LEAST_OWN) / NEUTRAL),
            0.0 if self.context is None else math.log((self.context + LEAST_CONTEXT) / NEUTRAL),
            math.log(min(self.share, LARGEST_SHARE) + LEAST_SHARE),
        )


def chance(features: Sequence[float], weights: Sequence[float]) -> float:
    """Return a chance in 0..1 by logistic regression.

    Args:
        features: As many as there were when the weights were fitted.
        weights: One for each feature, then a constant.
    """
    *slopes, constant = weights
    return 1 / (1 + math.exp(-constant - sum(slope * x for slope, x in zip(slopes, features, strict=True))))


def logit(score: float) -> float:
    """Return the logarithm of the odds of a score in 0..1."""
    inside = min(max(score, SMALLEST), 1 - SMALLEST)
    return math.log(inside / (1 - inside))
