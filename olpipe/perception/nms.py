"""Non-maximum suppression: where several boxes mean the same thing, keep the surest one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def suppress(
    boxes: Floats,
    scores: Floats,
    classes: npt.NDArray[np.integer],
    *,
    max_overlap: float,
    max_overlap_any: float = 1.0,
) -> list[int]:
    """Return the indices of the boxes that stay, the surest first.

    A box is dropped when a surer one overlaps it by too much. Two boxes of one class that overlap are often one thing
    found twice. Two boxes of different classes are one thing with two names only where they are almost the same.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        classes: (N,).
        max_overlap: Most intersection over union of two boxes of one class, 0..1.
        max_overlap_any: The same for two boxes of any classes.
    """
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        limits = np.where(classes[kept] == classes[index], max_overlap, max_overlap_any)  # (len(kept),)
        if not (overlaps(boxes[index], boxes[kept]) > limits).any():
            kept.append(index)
    return kept


def overlaps(box: Floats, others: Floats) -> Floats:
    """Return (N,), the intersection over union of a box (4,) with each of others (N, 4); 0 where both are empty."""
    low = np.maximum(box[:2], others[:, :2])  # (N, 2), the corner of the intersection with the smaller x and y
    high = np.minimum(box[2:], others[:, 2:])  # (N, 2)
    shared = np.prod(np.clip(high - low, 0, None), axis=1)  # (N,)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result
