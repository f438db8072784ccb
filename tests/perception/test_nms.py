"""Suppression against an independent implementation that compares every pair in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.perception.nms import overlaps, suppress

corner = st.integers(0, 40)
box = st.tuples(corner, corner, st.integers(0, 20), st.integers(0, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
detection = st.tuples(box, st.integers(0, 100), st.integers(0, 2))


def naive_overlap(a, b):
    cells_a = {(x, y) for x in range(a[0], a[2]) for y in range(a[1], a[3])}
    cells_b = {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}
    return len(cells_a & cells_b) / len(cells_a | cells_b) if cells_a | cells_b else 0.0


def naive_suppress(detections, same, different):
    left = sorted(range(len(detections)), key=lambda index: -detections[index][1])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        box, _, label = detections[best]
        left = [
            index
            for index in left
            if naive_overlap(detections[index][0], box) <= (same if detections[index][2] == label else different)
        ]
    return kept


@given(st.lists(detection, max_size=12), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 0.8, 1.0]))
def test_suppression_keeps_what_comparing_every_pair_keeps(detections, same, different):
    boxes = np.array([d[0] for d in detections], np.float64).reshape(-1, 4)
    scores = np.array([d[1] for d in detections], np.float64)
    classes = np.array([d[2] for d in detections], np.int64)
    kept = suppress(boxes, scores, classes, max_overlap=same, max_overlap_any=different)
    assert kept == naive_suppress(detections, same, different)


@given(box, st.lists(box, min_size=1, max_size=5))
def test_overlap_is_shared_cells_over_all_cells(one, others):
    found = overlaps(np.array(one, np.float64), np.array(others, np.float64))
    assert found.tolist() == pytest.approx([naive_overlap(one, other) for other in others])
