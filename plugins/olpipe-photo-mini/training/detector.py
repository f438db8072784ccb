"""Make up evidence from a photo's captions, as the real detector would find it: with misses, mistakes, wrong counts.

The numbers were measured with the perceiver `photo-mini` on annotated photos. What at least two of five people mention
(`SAID`) is mostly found, with a high score and a large box. What it finds besides (`UNSAID`) has a low score and a
small box, and half of it is not in the photo.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from olpipe.image import Box
from olpipe.record import Detection, Evidence, Label

WIDTH, HEIGHT = 640, 480
BOX_SCORE = 0.3
MOST_OF_A_KIND = 14
MOST_LESS = 0.6  # by how much the scores of a kind differ at most


@dataclass(frozen=True)
class Finding:
    """How a kind of finding is distributed.

    Attributes:
        scores: Scores at equally likely steps: the smallest, the largest, and quantiles between them.
        shares: Shares of the photo, in the same way.
    """

    scores: Sequence[float]
    shares: Sequence[float]

    def score(self, chance: random.Random) -> float:
        """Draw a score."""
        return _between(self.scores, chance)

    def share(self, chance: random.Random) -> float:
        """Draw a share of the photo."""
        return _between(self.shares, chance)


SAID = Finding(scores=(0.30, 0.88, 0.96, 0.98, 0.99, 1.00), shares=(0.004, 0.05, 0.10, 0.17, 0.34, 0.95))
UNSAID = Finding(scores=(0.25, 0.37, 0.45, 0.67, 0.87, 0.99), shares=(0.001, 0.009, 0.03, 0.05, 0.09, 0.6))

FOUND = 0.83
"""Share of the things that two people mention which is found."""

FOUND_ONCE = 0.53
"""Share of the things that one person mentions which is found."""

UNSAID_A_PHOTO = 1.6
"""Findings in a photo that nobody mentions, on average."""

PLACE_FOUND, NAME_FOUND = 0.55, 0.5
"""How often the classifier finds a place, or a thing without a box, that two people mention."""

WRONG_NAME = 0.07
"""How often the classifier names something that is not there."""

BREED_FOUND = 0.4
"""How often the classifier has a finer name for a thing."""

TONES_FOUND, WRONG_TONE = 0.8, 0.02
"""How often colours show a night or greenery that two people mention, and how often a photo is black and white.

In real photos, night and greenery are clear less often. But where they are, the model should not overlook them.
"""


def detect(
    said: Mapping[str, int], once: Sequence[str], others: Sequence[str], labels: Sequence[Label], chance: random.Random
) -> Evidence:
    """Return what is found in a photo.

    Args:
        said: How many there are of each thing that two people mention.
        once: Things that one person mentions.
        others: Things that nobody mentions; some of them are found all the same.
        labels: What the classifier finds.
        chance: The source of random numbers.
    """
    objects: list[Detection] = []
    tags: list[Label] = list(labels)
    # 1. Draw what is found
    found = [(name, count, SAID) for name, count in said.items() if chance.random() < FOUND]
    found += [(name, 1, UNSAID) for name in once if chance.random() < FOUND_ONCE]
    extras = min(len(others), _poisson(UNSAID_A_PHOTO, chance))
    found += [(name, chance.choice((1, 1, 1, 2, 3)), UNSAID) for name in chance.sample(others, extras)]
    # 2. Draw scores and boxes; what has a low score gets a tag, and no box
    for name, count, finding in found:
        score = finding.score(chance)
        if score < BOX_SCORE:
            tags.append(Label(name, score))
        else:
            objects += _boxes(name, score, miscount(count, chance), finding.share(chance), chance)
    tags += [Label(detection.label, detection.score) for detection in objects]
    return Evidence(tuple(objects), tuple(sorted(tags, key=lambda label: -label.score)))


def miscount(count: int, chance: random.Random) -> int:
    """Return a count as a detector gives it: small ones mostly right, large ones roughly."""
    if count == 1:
        return chance.choices((1, 2, 3), (94, 5, 1))[0]
    counted = round(count * chance.gauss(1, 0.3))
    return max(2, min(MOST_OF_A_KIND, counted))


def _boxes(name: str, score: float, count: int, share: float, chance: random.Random) -> list[Detection]:
    """Return boxes of one kind, side by side around a place, which together fill the share of the photo."""
    area = min(0.9, share) * WIDTH * HEIGHT / count
    h = max(1, min(HEIGHT, round((area * chance.uniform(0.5, 2)) ** 0.5)))
    w = max(1, min(WIDTH, round(area / h)))
    middle = chance.gauss(0.5, 0.22) * WIDTH
    spread = 0 if count == 1 else 0.15 * WIDTH
    lefts = [max(0, min(WIDTH - w, round(chance.gauss(middle, spread) - w / 2))) for _ in range(count)]
    top = chance.randint(0, HEIGHT - h)
    scores = [score] + [chance.uniform(max(BOX_SCORE, score - MOST_LESS), score) for _ in lefts[1:]]
    return [Detection(name, one, Box(left, top, w, h)) for one, left in zip(scores, lefts, strict=True)]


def _between(steps: Sequence[float], chance: random.Random) -> float:
    """Draw a number between two neighbouring steps, each pair of neighbours being equally likely."""
    at = chance.random() * (len(steps) - 1)
    low = int(at)
    return steps[low] + (at - low) * (steps[low + 1] - steps[low])


def _poisson(mean: float, chance: random.Random) -> int:
    """Draw a number from a Poisson distribution: how many events with exponential distances happen before `mean`."""
    count, left = 0, chance.expovariate(1)
    while left < mean:
        count, left = count + 1, left + chance.expovariate(1)
    return count
