"""The wanted answer for evidence: title, description and alt text.

Every word of an answer is borne out: by the evidence, or by what most people say of photos with such evidence. Among
all sentences of that kind, the answer takes the one that agrees best with what people say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from olpipe.record import Evidence
from training import captions as registers
from training.agreement import POSTURES, agree, several
from training.consensus import Consensus
from training.known import Known, know
from training.likeness import Likeness, Weights, singular_words
from training.photos import Photos, singular
from training.questions import ANIMALS
from training.wording import SETTINGS, article, headline, listing, sentence, spoken

SUPPORT = 0.5
"""A word that evidence does not have is said if at least two people use it in this share of such photos.

Those who do not use it may have seen the thing all the same. So the share of photos that show it is larger.
"""

NAMED_GAIN, WORD_GAIN, WORDS_WANTED = 0.15, 0.06, 10
"""What a sentence is worth besides its agreement: for each thing that it names, and for each word up to ten."""

MOST_NAMED, MOST_ADDED = 3, 3
"""Most things that a composed sentence begins with, and most that an alt text adds to the description."""

LONGEST_ALT = 125

_LINKS = frozenset(
    "a an the of in on at by with and to from near their its it for other each some one two three several "
    "group herd flock crowd couple pair row bunch photo".split()
)
"""Words that may always be said. They link things, and they count them."""

_STATED = re.compile(r"\b(is|are|has|have|that)\b")
"""Captions that are whole sentences are left out, as most people do without."""

_PLACED = re.compile(r"\b(in|on|at|by|among) (a|an|the)\b")

_LIVING = frozenset(["person", *ANIMALS])


@dataclass(frozen=True)
class _Sentence:
    """A sentence without its full stop, and how much it is worth."""

    text: str
    worth: float


class Answers:
    """Makes answers from evidence, by what people wrote of similar photos."""

    def __init__(self, photos: Photos) -> None:
        """Read the captions."""
        self._photos = photos
        self._finder = photos.finder
        self._likeness = Likeness(photos)
        self._consensus = Consensus(photos)
        # All clean captions, and which words each has: (captions, words)
        pairs = dict.fromkeys((text, row) for row, photo in enumerate(photos.photos) for text in photo.clean)
        self._captions = [text for text, _ in pairs]
        self._photo = np.array([row for _, row in pairs], dtype=int)
        self._columns: dict[str, int] = {}
        cells = [
            (row, self._columns.setdefault(word, len(self._columns)))
            for row, text in enumerate(self._captions)
            for word in set(re.findall("[a-z]+", text))
        ]
        rows, columns = np.array(cells, dtype=int).reshape(-1, 2).T
        self._has = sparse.csr_matrix(
            (np.ones(len(rows)), (rows, columns)), (len(self._captions), max(1, len(self._columns)))
        )

    def answer(self, evidence: Evidence) -> dict[str, str]:
        """Return three texts that say only what the evidence bears out."""
        known = know(evidence, self._finder)
        if not known.count and not known.scene:
            return nothing(known.time)
        if not known.sure:
            return _unsure(known)
        if known.is_little:
            return _little(known)
        found = self._sentences(known, self._likeness.weights(evidence))
        best = max(found, key=lambda one: one.worth)
        description = _timed(best.text, known)
        short = [one for one in found if len(headline(one.text).split()) <= registers.TITLE_WORDS]
        title = max(short, key=lambda one: one.worth).text if short else known.spoken[0]
        timed = _timed(title, known)
        fits = len(headline(timed).split()) <= registers.TITLE_WORDS
        return {
            "title": headline(timed if fits else title),
            "description": sentence(description),
            "alt": sentence(self._alt(best.text, known)),
        }

    def _sentences(self, known: Known, weights: Weights) -> list[_Sentence]:
        """Return all sentences that may be said, each with its worth."""
        usual = self._likeness.usual(weights, SUPPORT)
        texts = list(dict.fromkeys([*self._composed(known, usual), *self._written(known, usual, weights)]))
        agreements = self._consensus.worth(texts, weights)
        return [
            _Sentence(text, agreement + self._gain(text, known))
            for text, agreement in zip(texts, agreements, strict=True)
        ]

    def _gain(self, text: str, known: Known) -> float:
        names = self._finder.find(text)
        named = sum(thing.label in names for thing in known.things) + sum(name in text for name in known.others)
        return NAMED_GAIN * named + WORD_GAIN * min(WORDS_WANTED, len(text.split()))

    def _composed(self, known: Known, usual: frozenset[str]) -> Iterator[str]:
        """Yield sentences that are put together from what was found, and from what such things do, and where."""
        first, *others = known.spoken
        settings = [setting for noun, setting in SETTINGS.items() if noun in usual]
        places = list(dict.fromkeys(["", *filter(None, [known.scene]), *settings]))
        does = known.things and known.things[0].label in _LIVING
        motions = ["", *sorted(POSTURES & usual)] if does else [""]
        for place in places:
            for count in range(min(MOST_NAMED, 1 + len(others))):
                rest = others[:count]
                tail = f"with {listing(rest)}" if rest else ""
                where = place if known.count and not _says(first, place) else ""
                yield from (_joined(first, motion, where, tail) for motion in (motions if where else [""]))
                yield _joined(first, tail, where)
                if rest:
                    yield _joined(listing([first, *rest]), where)
        if known.scene and known.count:
            scene = known.scene.partition(" ")[2]
            for count in range(min(MOST_NAMED, known.count)):
                yield f"{scene} with {listing(known.spoken[: count + 1])}"

    def _written(self, known: Known, usual: frozenset[str], weights: Weights) -> Iterator[str]:
        """Yield captions of likely photos in which every word is borne out, with the numbers of the evidence."""
        counts = {thing.label: thing.count for thing in known.things}
        names = [*counts, *known.others]
        # 1. Words that may not be said, and the captions without them
        may = {*_LINKS, *self._forms([*names, *known.scene.split()])}
        refused = np.array([word not in may and singular(word) not in usual for word in self._columns], dtype=float)
        fit = (self._has @ refused == 0) & (weights[self._photo] > 0)
        named = self._finder.find(" . ".join(names))
        for row in np.nonzero(fit)[0]:
            # 2. Things that were looked for must have been found, and are spoken of once, in the right number
            text = self._captions[row]
            mentioned = self._finder.find(text)
            if _STATED.search(text) or not mentioned or not mentioned <= named:
                continue
            if any(self._mentions(text, name) > 1 for name in mentioned):
                continue
            numbers = {name: counts[name] for name in sorted(mentioned & counts.keys())}
            agreed = agree(text, numbers, self._photos.ones)
            if agreed and not _is_broken(agreed):
                yield agreed

    def _mentions(self, text: str, name: str) -> int:
        """Return how often a text speaks of a kind of thing, in the singular or in the plural."""
        forms = {form for one in self._photos.ones[name] for form in (one, several(one))}
        pattern = "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
        return len(re.findall(rf"\b(?:{pattern})\b", text))

    def _forms(self, names: Sequence[str]) -> set[str]:
        """Return the words for things: each word of their names, and the other words that people use for them."""
        forms: set[str] = set()
        for name in names:
            for one in (name, *self._photos.ones.get(name, ())):
                forms.update(one.split(), several(one).split())
        return forms

    def _alt(self, text: str, known: Known) -> str:
        """Return the description, and what else was found, as far as there is room."""
        names = self._finder.find(text)
        said = set(singular_words(text))
        rest = [spoken(thing) for thing in known.things if thing.label not in names]
        rest += [article(name) for name in known.others if not said.issuperset(singular_words(name))]
        longer = [
            f"{text}, {'and' if ' with ' in text else 'with'} {listing(rest[:count])}"
            for count in range(min(MOST_ADDED, len(rest)), 0, -1)
        ]
        is_placed = _PLACED.search(text) or _says(text, known.scene)
        scene = f" {known.scene}" if known.scene and not is_placed else ""
        return next(
            (full for one in (*longer, text) if len(full := _timed(f"{one}{scene}", known)) < LONGEST_ALT), text
        )


def nothing(time: str = "") -> dict[str, str]:
    """Return the answer where nothing was found, except perhaps a time that the colours show."""
    if time:
        text = f"A photo {time}, in which nothing was recognised."
        return {"title": f"Photo {time}", "description": text, "alt": text}
    text = "Nothing was recognised in this photo."
    return {"title": "Nothing recognised", "description": text, "alt": text}


def _little(known: Known) -> dict[str, str]:
    """Return the answer where only something small was found: most of the photo is not known."""
    small = " ".join([known.spoken[0].partition(" ")[0], "small", known.spoken[0].partition(" ")[2]])
    text = sentence(_timed(f"{small}, and nothing else that was recognised", known))
    return {"title": headline(small), "description": text, "alt": text}


def _unsure(known: Known) -> dict[str, str]:
    """Return the answer where everything that was found is unsure."""
    name = _timed(f"perhaps {known.spoken[0]}", known)
    return {
        "title": f"{name[:1].upper()}{name[1:]}",
        "description": sentence(f"{name}, and nothing that is certain"),
        "alt": sentence(name),
    }


def _is_broken(text: str) -> bool:
    """Return whether two nouns of a text follow each other with nothing but an article between them."""
    between = re.findall(r"\b(?:an?|the|some) ((?:\w+ )+?)(?=(?:an?|the|some) )", text)
    return any(_LINKS.isdisjoint(words.split()) and not words.endswith("ing ") for words in between)


def _timed(text: str, known: Known) -> str:
    return f"{text} {known.time}" if known.time and not _says(text, known.time) else text


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _says(text: str, addition: str) -> bool:
    """Return whether a text already names a place or a time, in whatever words; the last word decides."""
    return bool(addition) and addition.split()[-1] in text.lower().split()
