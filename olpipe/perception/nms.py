"""Non-maximum suppression: of boxes that mean the same thing, keep the surest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def suppress(boxes: Floats, scores: Floats, classes: npt.NDArray[np.integer], *, max_overlap: float) -> list[int]:
    """Return the indices of the boxes that stay, surest first.

    A box goes when a surer one of its class overlaps it by more than `max_overlap`.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        classes: (N,).
        max_overlap: Intersection over union, 0..1.
    """
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        rivals = [other for other in kept if classes[other] == classes[index]]
        if not rivals or overlaps(boxes[index], boxes[rivals]).max() <= max_overlap:
            kept.append(index)
    return kept


def overlaps(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of one box (4,) with each of others (N, 4); 0 where both are empty."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result
