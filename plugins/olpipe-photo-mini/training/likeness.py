"""How likely each photo of a file of captions is the one behind some evidence, and what such photos show.

Every name is judged on its own (naive Bayes): how often it is found where people mention it, and where they do not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from olpipe_photo_mini.tones import TONES
from scipy import sparse

from olpipe.perception.prompt import UNSURE, Thing, things, without_box
from olpipe.record import Evidence
from training.detector import HEIGHT, WIDTH
from training.photos import Photos, singular

Weights = npt.NDArray[np.float64]

# Rows of a table of likelihoods: two people mention a thing, one does, nobody does
SAID, ONCE, NEVER = range(3)

_MISSED_THING, _MISSED_LABEL = (0.14, 0.6, 0.97), (0.5, 0.6, 0.97)
_SURE, _SURE_SMALL, _SURE_LARGE = (0.6, 0.2, 0.02), (0.6, 0.2, 0.125), (0.6, 0.2, 0.004)
_UNSURE, _UNSURE_TAG = (0.2, 0.2, 0.06), (0.1, 0.12, 0.06)
_LABEL, _UNSURE_LABEL = (0.5, 0.3, 0.02), (0.5, 0.3, 0.05)
"""Likelihoods of a finding, in the order of the rows. Measured roughly, with the perceiver `photo-mini`."""

_ONE_OR_MANY, _OTHER_NUMBER = 0.25, 0.6
"""How much less likely a photo is where people speak of one thing and several were found, or of another number."""


class Likeness:
    """Judges which photos could be behind evidence."""

    def __init__(self, photos: Photos) -> None:
        """Note what people mention in each photo."""
        self._photos = photos.photos
        names = [*photos.names, *photos.places, *photos.others, *TONES]
        self._columns = {name: column for column, name in enumerate(dict.fromkeys(names))}
        self._has_boxes = np.array([name in photos.names for name in self._columns])
        # 1. What is mentioned: (photos, names), with the row of the table of likelihoods
        self._mentioned = np.full((len(self._photos), len(self._columns)), NEVER)
        for row, photo in enumerate(self._photos):
            for rank, mentioned in ((ONCE, photo.once), (SAID, (*photo.said, *photo.labels, *photo.tones))):
                columns = [self._columns[name] for name in mentioned if name in self._columns]
                self._mentioned[row, columns] = rank
        # 2. Words that at least two people use: (photos, words)
        self._words: dict[str, int] = {}
        pairs = [(row, self._words.setdefault(word, len(self._words))) for row, word in self._said()]
        rows, columns = zip(*pairs, strict=True)
        self._uses = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(self._photos), len(self._words)))

    def _said(self) -> list[tuple[int, str]]:
        """Return each photo's words that at least two people use, as (index of the photo, singular word)."""
        said = []
        for row, photo in enumerate(self._photos):
            uses = Counter(word for text in photo.captions for word in set(singular_words(text)))
            said += [(row, word) for word, count in uses.items() if count >= 2]
        return said

    def weights(self, evidence: Evidence) -> Weights:
        """Return how likely each photo is: (photos,).

        They sum to at most 1. Photos in which nobody mentions anything of what was surely found, and is not small, have
        a weight of 0: what they show says nothing about such a photo.
        """
        # 1. The logarithm of each finding's likelihood: (3, names), the same for all photos
        found = things(evidence, WIDTH, HEIGHT)
        table = np.where(self._has_boxes, np.array(_MISSED_THING)[:, None], np.array(_MISSED_LABEL)[:, None])
        for thing in found:
            self._put(table, thing.label, _of_thing(thing))
        for label in without_box(evidence):
            column = self._columns.get(label.name)
            if column is not None and self._has_boxes[column]:
                self._put(table, label.name, _UNSURE_TAG)
            else:
                self._put(table, label.name, _LABEL if label.score >= UNSURE else _UNSURE_LABEL)
        # 2. Their sum for each photo, with what the numbers say
        likely = np.take_along_axis(np.log(table), self._mentioned, axis=0).sum(axis=1)
        for thing in found:
            likely += self._numbers(thing)
        weights: Weights = np.exp(likely - likely.max())
        names = [thing.label for thing in found if thing.is_sure and not thing.is_small]
        names += [label.name for label in without_box(evidence) if label.score >= UNSURE]
        columns = [self._columns[name] for name in names if name in self._columns]
        is_about = (self._mentioned[:, columns] != NEVER).any(axis=1)  # (photos,)
        return is_about * weights / weights.sum()

    def _put(self, table: Weights, name: str, likelihoods: Sequence[float]) -> None:
        if name in self._columns:
            table[:, self._columns[name]] = likelihoods

    def _numbers(self, thing: Thing) -> Weights:
        """Return for each photo how much a number that people do not speak of makes it less likely: (photos,)."""
        cost = np.zeros(len(self._photos))
        if not thing.is_sure or thing.label not in self._columns:
            return cost
        for row in np.nonzero(self._mentioned[:, self._columns[thing.label]] == SAID)[0]:
            said = self._photos[row].said.get(thing.label, 1)
            if (said == 1) != (thing.count == 1):
                cost[row] = np.log(_ONE_OR_MANY)
            elif thing.count is not None and said != thing.count:
                cost[row] = np.log(_OTHER_NUMBER)
        return cost

    def usual(self, weights: Weights, least: float) -> frozenset[str]:
        """Return the singular words that at least two people use in at least this share of such photos."""
        shares = np.asarray(weights @ self._uses).ravel()
        return frozenset(word for word, column in self._words.items() if shares[column] >= least)


def singular_words(text: str) -> list[str]:
    """Return the words of a text, in lower case and without the ending of the regular plural."""
    return [singular(word) for word in re.findall("[a-z]+", text.lower())]


def _of_thing(thing: Thing) -> Sequence[float]:
    if not thing.is_sure:
        return _UNSURE
    if thing.is_small:
        return _SURE_SMALL
    return _SURE_LARGE if thing.is_large else _SURE
