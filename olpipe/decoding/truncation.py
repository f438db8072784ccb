"""Cut the improbable tail off a distribution before a token is drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]


def nucleus(probabilities: Probabilities, mass: float) -> Probabilities:
    """Zero all but the smallest set of most probable entries that reaches the mass (top-p).

    Source: Holtzman et al. 2020, https://arxiv.org/abs/1904.09751
    """
    return _keep_until(probabilities, np.argsort(-probabilities, kind="stable"), mass)


def typical(probabilities: Probabilities, mass: float) -> Probabilities:
    """Zero all but the entries whose surprise is nearest to the expected one, up to the mass.

    Source: Meister et al. 2022, https://arxiv.org/abs/2202.00666
    """
    possible = np.flatnonzero(probabilities)
    surprise = -np.log(probabilities[possible])
    expected = float(probabilities[possible] @ surprise) / float(probabilities[possible].sum())
    order = possible[np.argsort(np.abs(surprise - expected), kind="stable")]
    return _keep_until(probabilities, order, mass)


def near_best(probabilities: Probabilities, share: float) -> Probabilities:
    """Zero all entries below a share of the best one's probability (min-p).

    Source: Nguyen et al. 2024, https://arxiv.org/abs/2407.01082
    """
    return np.where(probabilities >= share * probabilities.max(), probabilities, 0.0)


def _keep_until(probabilities: Probabilities, order: npt.NDArray[np.intp], mass: float) -> Probabilities:
    """Keep entries in an order until together they reach a share of the whole; at least one stays."""
    sums = np.cumsum(probabilities[order])
    keep = order[: 1 + int(np.count_nonzero(sums[:-1] < mass * sums[-1]))]
    kept = np.zeros_like(probabilities)
    kept[keep] = probabilities[keep]
    return kept
