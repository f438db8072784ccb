"""Say how well tags and boxes agree with COCO's annotations: F1 over all photos together (micro-averaged)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

Corners = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True)
class Thing:
    """A box with a name: annotated, or found (then the surest come first)."""

    name: str
    box: Corners
    crowd: bool = False


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.false_alarms + other.false_alarms, self.misses + other.misses)

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.misses)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(1, 2 * self.hits + self.false_alarms + self.misses)


def count_tags(found: Collection[str], annotated: Collection[str], names: Collection[str]) -> Counts:
    """Compare a photo's tags with the names of its annotations; tags that are no COCO name do not count."""
    found, annotated = set(found) & set(names), set(annotated)
    return Counts(len(found & annotated), len(found - annotated), len(annotated - found))


def count_boxes(found: Sequence[Thing], annotated: Sequence[Thing], *, least_overlap: float = 0.5) -> Counts:
    """Match boxes greedily, surest first, each with the free annotation of its name that it overlaps most.

    Crowds are ignored: they are not missed, and a box that lies in one for the most part is no false alarm.
    """
    free = [thing for thing in annotated if not thing.crowd]
    crowds = [thing for thing in annotated if thing.crowd]
    hits = false_alarms = 0
    for thing in found:
        rivals = [other for other in free if other.name == thing.name]
        best = max(rivals, key=lambda other: overlap(thing.box, other.box), default=None)
        if best is not None and overlap(thing.box, best.box) >= least_overlap:
            free.remove(best)
            hits += 1
        elif not any(crowd.name == thing.name and inside(thing.box, crowd.box) >= 0.5 for crowd in crowds):
            false_alarms += 1
    return Counts(hits, false_alarms, len(free))


def shared_area(a: Corners, b: Corners) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def overlap(a: Corners, b: Corners) -> float:
    """Return intersection over union."""
    shared = shared_area(a, b)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared) if shared else 0.0


def inside(box: Corners, region: Corners) -> float:
    """Return the share of a box that lies in a region."""
    return shared_area(box, region) / (box[2] * box[3])


def interval(counts: Sequence[Counts], measure: Callable[[Counts], float], *, draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a measure over photos."""
    random = np.random.default_rng(0)
    values = []
    for _ in range(draws):
        chosen = random.integers(0, len(counts), len(counts))
        values.append(measure(sum((counts[index] for index in chosen), Counts())))
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
