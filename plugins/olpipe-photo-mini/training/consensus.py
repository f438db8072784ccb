"""Choose among texts the one that agrees best with what people say of such photos.

Texts are compared by CIDEr: by the runs of one to four words that they share, of which rare ones count more. It is
what `benchmarks/cider.py` measures, without the cap on repeated words, so that one product of matrices compares many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from training.likeness import Weights
from training.photos import Photos

from caption_metrics import words  # isort: skip
from cider import LONGEST, SIGMA, Gram, grams  # isort: skip

MOST_PHOTOS = 120
"""Only the likeliest photos are asked: the others hardly change anything."""


class Consensus:
    """Knows the captions of many photos, and judges texts by them."""

    def __init__(self, photos: Photos) -> None:
        """Count the runs of words of all captions."""
        # 1. In how many photos each run of words is said
        captions = [[words(caption) for caption in photo.captions] for photo in photos.photos]
        seen: Counter[Gram] = Counter()
        for texts in captions:
            seen.update({gram for text in texts for gram in grams(text)})
        self._columns = {gram: column for column, gram in enumerate(seen)}
        most = math.log(max(2, len(captions)))
        self._rarity = {gram: most - math.log(count) for gram, count in seen.items()}
        self._unseen = most
        # 2. All captions as rows, with the photo and the number of words of each
        self._photo = np.array([row for row, texts in enumerate(captions) for _ in texts])
        self._lengths = np.array([len(text) for texts in captions for text in texts])
        self._rows = self._matrix([text for texts in captions for text in texts])
        self._captions_of = np.array([len(texts) for texts in captions])

    def worth(self, texts: Sequence[str], weights: Weights) -> list[float]:
        """Return how well each text agrees with the captions of likely photos, each photo counting by its weight."""
        # 1. The captions of the likeliest photos, and what each of them counts: (captions,)
        likely = np.argsort(-weights, kind="stable")[:MOST_PHOTOS]
        chosen = np.nonzero(np.isin(self._photo, likely))[0]
        counts = weights[self._photo[chosen]] / self._captions_of[self._photo[chosen]]
        # 2. How alike each text and each caption are: (texts, captions)
        tokens = [words(text) for text in texts]
        alike = (self._matrix(tokens) @ self._rows[chosen].T).toarray() / LONGEST
        lengths = np.array([len(text) for text in tokens])
        alike *= np.exp(-((lengths[:, None] - self._lengths[chosen]) ** 2) / (2 * SIGMA**2))
        return [float(one) for one in 10 * alike @ counts]

    def _matrix(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Return a row for each text: the weights of its runs, those of each length with the norm 1."""
        values: list[float] = []
        rows: list[int] = []
        columns: list[int] = []
        for row, text in enumerate(texts):
            counts = Counter(grams(text))
            rarities = {gram: count * self._rarity.get(gram, self._unseen) for gram, count in counts.items()}
            sizes = [0.0] * (LONGEST + 1)
            for gram, rarity in rarities.items():
                sizes[len(gram)] += rarity**2
            for gram, rarity in rarities.items():
                if gram in self._columns and sizes[len(gram)]:
                    values.append(rarity / math.sqrt(sizes[len(gram)]))
                    rows.append(row)
                    columns.append(self._columns[gram])
        return sparse.csr_matrix((values, (rows, columns)), (len(texts), len(self._columns)))
