"""Remove improbable tokens from a distribution before a token is drawn.

A distribution has one entry for each token, (entries,) float64. Removed entries become 0, and the others keep their
values. So the sum may be below 1 afterwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]


def nucleus(probabilities: Probabilities, mass: float) -> Probabilities:
    """Keep the most probable entries until they reach a share of the whole (top-p).

    Source: Holtzman et al. 2020, https://arxiv.org/abs/1904.09751
    """
    return _keep_until(probabilities, np.argsort(-probabilities, kind="stable"), mass)


def typical(probabilities: Probabilities, mass: float) -> Probabilities:
    """Keep the entries with the most typical surprise until they reach a share of the whole.

    The surprise of an entry is minus the logarithm of its probability. It is typical when it is near to the surprise
    that is expected on average.

    Source: Meister et al. 2022, https://arxiv.org/abs/2202.00666
    """
    possible = np.flatnonzero(probabilities)
    surprise = -np.log(probabilities[possible])
    expected = float(probabilities[possible] @ surprise) / float(probabilities[possible].sum())
    order = possible[np.argsort(np.abs(surprise - expected), kind="stable")]
    return _keep_until(probabilities, order, mass)


def near_best(probabilities: Probabilities, share: float) -> Probabilities:
    """Keep the entries that have at least a share of the best entry's probability (min-p).

    Source: Nguyen et al. 2024, https://arxiv.org/abs/2407.01082
    """
    return np.where(probabilities >= share * probabilities.max(), probabilities, 0.0)


def _keep_until(probabilities: Probabilities, order: npt.NDArray[np.intp], mass: float) -> Probabilities:
    """Keep entries in an order until together they reach a share of the whole. At least one entry stays.

    Args:
        probabilities: The distribution, (entries,).
        order: The numbers of entries in the order to keep them in. Entries that are not in it are removed.
        mass: The share.
    """
    sums = np.cumsum(probabilities[order])
    keep = order[: 1 + int(np.count_nonzero(sums[:-1] < mass * sums[-1]))]
    kept = np.zeros_like(probabilities)
    kept[keep] = probabilities[keep]
    return kept
