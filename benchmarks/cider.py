"""CIDEr-D: how much of what a text says is what people say of the same photo, and of few others.

Source: Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based Image Description Evaluation", 2015, https://arxiv.org/abs/1411.5726
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from caption_metrics import words

LONGEST = 4
"""Runs of one to four words count, each length as much as the others."""

SIGMA = 6.0
"""A text that is longer or shorter than a caption by so many words gets 0.61 of what it would get."""

Gram = tuple[str, ...]


class CiderD:
    """Scores texts by how rare their words are in the captions of many photos."""

    def __init__(self, captions: Iterable[Sequence[str]]) -> None:
        """Count in how many photos each run of words is said.

        Args:
            captions: The captions of each photo. They should not be those of the photos whose texts are scored.
        """
        self._seen: Counter[Gram] = Counter()
        photos = 0
        for photo in captions:
            photos += 1
            self._seen.update({gram for caption in photo for gram in grams(words(caption))})
        self._log_photos = math.log(max(1, photos))

    def score(self, text: str, captions: Sequence[str]) -> float:
        """Return the score of a text against the captions of its photo: 0 to 10, mostly below 2."""
        said = words(text)
        vectors = self._vectors(said)
        total = 0.0
        for caption in captions:
            written = words(caption)
            likeness = sum(map(_likeness, vectors, self._vectors(written))) / LONGEST
            total += likeness * math.exp(-((len(said) - len(written)) ** 2) / (2 * SIGMA**2))
        return 10 * total / max(1, len(captions))

    def _vectors(self, tokens: Sequence[str]) -> list[dict[Gram, float]]:
        """Return the weight of each run of words, by its length: how often it is said, times how rare it is."""
        vectors: list[dict[Gram, float]] = [{} for _ in range(LONGEST)]
        for gram, count in Counter(grams(tokens)).items():
            rarity = self._log_photos - math.log(max(1, self._seen[gram]))
            vectors[len(gram) - 1][gram] = count * rarity
        return vectors


def grams(tokens: Sequence[str]) -> list[Gram]:
    """Return all runs of one to `LONGEST` words."""
    return [
        tuple(tokens[at : at + length]) for length in range(1, LONGEST + 1) for at in range(len(tokens) - length + 1)
    ]


def _likeness(said: dict[Gram, float], written: dict[Gram, float]) -> float:
    """Return the cosine of two vectors, in which no run of words counts for more than the caption gives it."""
    sizes = math.sqrt(sum(weight**2 for weight in said.values()) * sum(weight**2 for weight in written.values()))
    shared = sum(min(weight, written.get(gram, 0.0)) * written.get(gram, 0.0) for gram, weight in said.items())
    return shared / sizes if sizes else 0.0
