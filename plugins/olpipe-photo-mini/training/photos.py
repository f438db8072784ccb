"""What captions say about photos, and what perceivers may find in such photos."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from olpipe_photo_mini.tones import BLACK_AND_WHITE, GREENERY, NIGHT

from olpipe.record import Evidence, Label
from training import captions as registers
from training.detector import (
    BREED_FOUND,
    NAME_FOUND,
    PLACE_FOUND,
    TONES_FOUND,
    WRONG_NAME,
    WRONG_TONE,
    detect,
)

REPOSITORY = Path(__file__).parents[3]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from caption_metrics import TABLE, NounFinder  # noqa: E402

DATA = Path(__file__).parents[1] / "src" / "olpipe_photo_mini" / "data"


_COUNTS = {"two": 2, "couple": 2, "pair": 2, "three": 3, "four": 4, "five": 5, "six": 6, "several": 5, "some": 4}
_CROWDS = {"group": 6, "herd": 7, "flock": 8, "crowd": 12, "bunch": 6, "many": 8, "row": 5, "lots": 8, "team": 7}

_GREEN = "grass grassy lawn pasture meadow forest woods jungle trees garden".split()
_TONES = {
    NIGHT: re.compile(r"\bnight"),
    GREENERY: re.compile(rf"\b({'|'.join(_GREEN)}|green (field|hill\w*))\b"),
    BLACK_AND_WHITE: re.compile(r"\bblack and white (photo|picture|image|shot)"),
}


@dataclass(frozen=True)
class Photo:
    """A photo as its captions describe it.

    Attributes:
        captions: The captions as people wrote them.
        clean: The captions that are fit to learn from, in lower case.
        said: COCO things that at least two people mention, and how many there are of each.
        once: COCO things that one person mentions.
        labels: What a perfect classifier would add.
        tones: What its colours would show.
    """

    captions: tuple[str, ...]
    clean: tuple[str, ...]
    said: Mapping[str, int]
    once: tuple[str, ...]
    labels: tuple[str, ...]
    tones: tuple[str, ...]


class Photos:
    """All photos of a captions file, and what they have in common."""

    def __init__(self, captions: Mapping[str, Sequence[str]]) -> None:
        """Read the captions of each photo."""
        # 1. Names that perceivers can give, and the words for them
        self.finder = NounFinder()
        self.ones = _ones()
        self.names = (DATA / "coco.txt").read_text(encoding="utf-8").splitlines()
        table = [[*line.split("\t"), "", ""] for line in (DATA / "imagenet.tsv").read_text("utf-8").splitlines()[1:]]
        self.places = sorted({row[2] for row in table if row[2]})
        finer = ((row[1], row[0]) for row in table if row[1] in self.names and row[0] not in self.names)
        self.breeds: dict[str, list[str]] = {}
        for kind, name in finer:
            self.breeds.setdefault(kind, []).append(name)
        self.others = sorted({row[0] for row in table if not row[1] or row[0] == row[1]} - set(self.names))
        # 2. The photos, and words that are usual in their captions
        cleaned = {key: [registers.clean(caption) for caption in texts] for key, texts in captions.items()}
        every = [text for texts in cleaned.values() for text in texts if text]
        usual = registers.usual_words(every)
        self.photos = [self._photo(captions[key], texts, usual) for key, texts in cleaned.items()]
        self._by_name: dict[str, list[Photo]] = {}
        for photo in self.photos:
            for name in photo.said:
                self._by_name.setdefault(name, []).append(photo)

    def _photo(self, texts: Sequence[str], cleaned: Sequence[str | None], usual: frozenset[str]) -> Photo:
        mentions = Counter(name for text in texts for name in self.finder.find(text))
        joined = " ".join(texts).lower()
        said = {name: self._count(name, texts) for name in sorted(mentions) if mentions[name] >= 2}
        once = tuple(sorted(name for name, count in mentions.items() if count == 1))
        seen = Counter(word for text in texts for word in self._labels_in(text.lower())) if joined else Counter()
        labels = tuple(sorted(word for word, count in seen.items() if count >= 2))
        fit = (text for text in cleaned if text and usual.issuperset(text.replace(",", "").split()))
        tones = tuple(
            tone for tone, pattern in _TONES.items() if sum(bool(pattern.search(text.lower())) for text in texts) >= 2
        )
        return Photo(tuple(texts), tuple(dict.fromkeys(fit)), said, once, labels, tones)

    def _labels_in(self, text: str) -> set[str]:
        words = f" {' '.join(re.findall('[a-z]+', text))} "
        return {label for label in (*self.places, *self.others) if f" {label} " in words or f" {label}s " in words}

    def _count(self, name: str, texts: Sequence[str]) -> int:
        """Return how many the captions speak of: as the number words before the name say, or else the plural."""
        counts = [count for text in texts if (count := self._count_in(name, text.lower()))]
        return max(set(counts), key=lambda count: (counts.count(count), count)) if counts else 1

    def _count_in(self, name: str, text: str) -> int:
        """Return how many a text speaks of at the first mention of a name; 0 where it does not mention it."""
        words = re.findall("[a-z]+", text)
        for at, word in enumerate(words):
            if name not in self.finder.find(" ".join(words[at : at + 2])) or name in self.finder.find(
                " ".join(words[at + 1 : at + 2])
            ):
                continue
            before = words[max(0, at - 4) : at]
            for number in reversed(before):
                if number in _COUNTS or number in _CROWDS:
                    return _COUNTS.get(number) or _CROWDS[number]
                if number in ("a", "an", "the", "one"):
                    return 1
            return 3 if word.endswith("s") or word in ("people", "men", "women", "children") else 1
        return 0

    def evidence(self, photo: Photo, chance: random.Random) -> Evidence:
        """Make up what perceivers may find in a photo. Every call makes up something else."""
        # 1. Things that nobody mentions: from photos of the same things, and at random
        mentioned = {*photo.said, *photo.once}
        others: list[str] = []
        for name in [*photo.said, *photo.said]:
            near = chance.choice(self._by_name[name])
            others += [*near.said, *near.once]
        others += chance.choices(self.names, k=2)
        others = [name for name in dict.fromkeys(others) if name not in mentioned]
        # 2. What the classifier finds: places and names, finer names, a wrong name, tones
        labels = [
            Label(label, chance.uniform(0.55, 1.0))
            for label in photo.labels
            if chance.random() < (PLACE_FOUND if label in self.places else NAME_FOUND)
        ]
        labels += [
            Label(chance.choice(breeds), chance.uniform(0.6, 1.0))
            for kind, breeds in self.breeds.items()
            if kind in photo.said and chance.random() < BREED_FOUND
        ]
        if chance.random() < WRONG_NAME:
            labels.append(Label(chance.choice(self.others), chance.uniform(0.55, 0.85)))
        labels += [Label(tone, chance.uniform(0.6, 1.0)) for tone in photo.tones if chance.random() < TONES_FOUND]
        if chance.random() < WRONG_TONE:
            labels.append(Label(BLACK_AND_WHITE, 0.9))
        # 3. What the detector finds
        return _finer(detect(photo.said, photo.once, others, labels, chance), self.breeds)


def singular(word: str) -> str:
    """Return a noun without the ending of the regular plural."""
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) else word


def _finer(evidence: Evidence, breeds: Mapping[str, Collection[str]]) -> Evidence:
    """Return evidence in which finer names belong to the things that have boxes."""
    names = {label.name for label in evidence.tags}
    objects = (
        replace(thing, tags=tuple(sorted(names.intersection(breeds.get(thing.label, ())))))
        for thing in evidence.objects
    )
    return replace(evidence, objects=tuple(objects))


def _ones() -> dict[str, tuple[str, ...]]:
    """Return the singular words for each COCO thing, its name first."""
    ones = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        name, _, phrases = line.partition("\t")
        if name != "-":
            ones[name] = (name, *(phrase.strip() for phrase in phrases.split(",") if phrase.strip()))
    return ones
