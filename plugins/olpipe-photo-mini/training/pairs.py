"""Make pairs to learn from: the evidence as the prompt gives it, and the answer wanted.

    python -m training.pairs CAPTIONS [--seed 0] [--show 20]

CAPTIONS is a JSON file with `captions`: a list of captions by photo. No photo is needed: the evidence is made up from
what the captions mention, and degraded as a real detector would. The answer is made of captions that mention nothing
the evidence does not have, so that the model learns to keep to it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.perception.prompt import describe
from olpipe.record import Evidence, Label
from training import captions as registers
from training import questions
from training.detector import (
    BREED_FOUND,
    HEIGHT,
    NAME_FOUND,
    PLACE_FOUND,
    WIDTH,
    WRONG_NAME,
    detect,
)

REPOSITORY = Path(__file__).parents[3]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from caption_metrics import NounFinder, rouge_l  # noqa: E402

DATA = Path(__file__).parents[1] / "src" / "olpipe_photo_mini" / "data"

RECIPE_PROMPT = "Describe the photo as JSON."
NOTHING_SHARE = 0.01
PASSES = 2
NOTHING = {
    "title": "Unrecognised photo",
    "description": "Nothing in this photo could be recognised with certainty.",
    "alt": "A photo whose content was not recognised.",
}
ATTEMPTS = 3
WORDS_WANTED, SHORT_COST, NAMED_GAIN = 12, 0.05, 0.04
TITLE_WORDS_WANTED = 5
SHORT_CHARACTERS = 70

_THING = re.compile(r"(maybe )?(?:small |large )?([a-z][a-z ]*?)(?: x(\d+))? \((left|center|right)\)")
_HARDLY_SEEN = re.compile(r"maybe (?!large )[^,(]*(, |$)|maybe small [^,]*(, |$)")
_UNSURE = re.compile(r"maybe [^,]*(, |$)")

_COUNTS = {"two": 2, "couple": 2, "pair": 2, "three": 3, "four": 4, "five": 5, "six": 6, "several": 5, "some": 4}
_CROWDS = {"group": 6, "herd": 7, "flock": 8, "crowd": 12, "bunch": 6, "many": 8, "row": 5, "lots": 8, "team": 7}


@dataclass(frozen=True)
class Pair:
    """What the user says and what the model should answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Photo:
    """A photo as its captions tell it.

    Attributes:
        captions: As people wrote them.
        clean: Those fit to learn from, in lower case.
        said: How many of each COCO thing there are that at least two people mention.
        once: COCO things that one person mentions.
        labels: What a perfect classifier would add.
    """

    captions: tuple[str, ...]
    clean: tuple[str, ...]
    said: Mapping[str, int]
    once: tuple[str, ...]
    labels: tuple[str, ...]


class Photos:
    """All photos of a captions file, and what they have in common."""

    def __init__(self, captions: Mapping[str, Sequence[str]]) -> None:
        """Read captions by photo."""
        self._finder = NounFinder()
        self._names = (DATA / "coco.txt").read_text(encoding="utf-8").splitlines()
        table = [[*line.split("\t"), "", ""] for line in (DATA / "imagenet.tsv").read_text("utf-8").splitlines()[1:]]
        self.places = sorted({row[2] for row in table if row[2]})
        self.breeds = {kind: [row[0] for row in table if row[1] == kind] for kind in ("dog", "cat", "bird")}
        self._things = sorted({row[0] for row in table if not row[1] or row[0] == row[1]} - set(self._names))
        cleaned = {key: [registers.clean(caption) for caption in texts] for key, texts in captions.items()}
        every = [text for texts in cleaned.values() for text in texts if text]
        usual = registers.usual_words(every)
        self._endings = registers.usual_endings(every)
        self.photos = [self._photo(captions[key], texts, usual) for key, texts in cleaned.items()]
        self._by_name: dict[str, list[Photo]] = {}
        for photo in self.photos:
            for name in photo.said:
                self._by_name.setdefault(name, []).append(photo)

    def _photo(self, texts: Sequence[str], cleaned: Sequence[str | None], usual: frozenset[str]) -> Photo:
        mentions = Counter(name for text in texts for name in self._finder.find(text))
        joined = " ".join(texts).lower()
        said = {name: self._count(name, texts) for name in sorted(mentions) if mentions[name] >= 2}
        once = tuple(sorted(name for name, count in mentions.items() if count == 1))
        seen = Counter(word for text in texts for word in self._labels_in(text.lower())) if joined else Counter()
        labels = tuple(sorted(word for word, count in seen.items() if count >= 2))
        fit = (text for text in cleaned if text and usual.issuperset(text.replace(",", "").split()))
        return Photo(tuple(texts), tuple(dict.fromkeys(fit)), said, once, labels)

    def _labels_in(self, text: str) -> set[str]:
        words = f" {' '.join(re.findall('[a-z]+', text))} "
        return {label for label in (*self.places, *self._things) if f" {label} " in words or f" {label}s " in words}

    def _count(self, name: str, texts: Sequence[str]) -> int:
        """Return how many the captions speak of: by the number words before the name, or by the plural."""
        counts = [count for text in texts if (count := self._count_in(name, text.lower()))]
        return max(set(counts), key=lambda count: (counts.count(count), count)) if counts else 1

    def _count_in(self, name: str, text: str) -> int:
        words = re.findall("[a-z]+", text)
        for at, word in enumerate(words):
            if name not in self._finder.find(" ".join(words[at : at + 2])) or name in self._finder.find(
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
        """Return what perceivers may find in a photo, another thing at every call."""
        mentioned = {*photo.said, *photo.once}
        others: list[str] = []
        for name in [*photo.said, *photo.said]:
            near = chance.choice(self._by_name[name])
            others += [*near.said, *near.once]
        others += chance.choices(self._names, k=2)
        others = [name for name in dict.fromkeys(others) if name not in mentioned]
        labels = [
            Label(label, chance.uniform(0.42, 0.95))
            for label in photo.labels
            if chance.random() < (PLACE_FOUND if label in self.places else NAME_FOUND)
        ]
        labels += [
            Label(chance.choice(breeds), chance.uniform(0.5, 0.95))
            for kind, breeds in self.breeds.items()
            if kind in photo.said and chance.random() < BREED_FOUND
        ]
        if chance.random() < WRONG_NAME:
            labels.append(Label(chance.choice(self._things), chance.uniform(0.5, 0.7)))
        return detect(photo.said, photo.once, others, labels, chance)

    def pair(self, photo: Photo, chance: random.Random, mix: questions.Mix) -> Pair | None:
        """Return a pair, or None when no captions keep to the evidence."""
        for _ in range(ATTEMPTS):
            evidence = self.evidence(photo, chance)
            if evidence == Evidence():
                return nothing_recognised()
            line = describe(evidence, WIDTH, HEIGHT)
            answer = self.answer(photo, line)
            if answer is None:
                continue
            if chance.random() < mix.share:
                question, reply = questions.ask(evidence, answer["description"], WIDTH, chance, mix.animals_times)
                return Pair(f"{line}\n{question}", reply)
            return Pair(f"{RECIPE_PROMPT}\n{line}", compact(answer))
        return None

    def answer(self, photo: Photo, line: str) -> dict[str, str] | None:
        """Return three different texts out of captions that name nothing but what the evidence has."""
        supported = self._finder.find(_HARDLY_SEEN.sub("", line))
        sure = self._finder.find(_UNSURE.sub("", line))
        named = {text: self._finder.find(text) for text in photo.clean}
        fit = [text for text, names in named.items() if names <= supported]
        if len(fit) < 2 or (sure and not any(named[text] & sure for text in fit)):
            return None

        def worth(text: str) -> float:
            """Say how well a caption agrees with the others, is long enough and names what is there."""
            others = [one for one in photo.captions if registers.clean(one) != text]
            agreement = rouge_l(text, others) if others else 0.0
            missing = max(0, WORDS_WANTED - len(text.split()))
            return agreement - SHORT_COST * missing + NAMED_GAIN * len(named[text] & sure)

        description, *others = sorted(fit, key=lambda text: (-worth(text), text))
        alt, *rest = sorted(others, key=lambda text: (len(text) > SHORT_CHARACTERS, -worth(text), text))
        titles = [registers.title(text, self._endings) for text in (*rest, alt, description)]
        headlines = [one for one in titles if one]
        title = max(headlines, key=lambda one: min(TITLE_WORDS_WANTED, len(one.split())), default=None)
        if title is None or title.lower() in (alt, description):
            return None
        return {
            "title": title,
            "description": registers.sentence(description),
            "alt": registers.sentence(alt + place(line, alt)),
        }


def place(line: str, text: str) -> str:
    """Say where the largest sure thing is that a text names; nothing when it names none.

    Those who cannot see the photo are told what a caption leaves out, and the alt text is no copy of the description.
    """
    for maybe, name, count, where in _THING.findall(line):
        called = questions.plural(name) if count else name
        if not maybe and re.search(rf"\b{called}\b", text):
            return f", the {called} {questions.WHERE[where]}"
    return ""


def nothing_recognised() -> Pair:
    """Return what to say where nothing is known."""
    return Pair(f"{RECIPE_PROMPT}\n{describe(Evidence(), WIDTH, HEIGHT)}", compact(NOTHING))


def compact(answer: Mapping[str, str]) -> str:
    """Return an answer as the grammar forces it: keys in the recipe's order, no white space."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def make_pairs(
    captions: Mapping[str, Sequence[str]], seed: int, mix: questions.Mix = questions.USUAL
) -> Iterator[Pair]:
    """Yield a pair for each photo that gives one, in an order of the seed's choice; then others, from new evidence.

    Args:
        captions: By photo.
        seed: Decides everything.
        mix: Which questions are asked.
    """
    chance = random.Random(seed)
    photos = Photos(captions)
    for _ in range(PASSES):
        for photo in chance.sample(photos.photos, len(photos.photos)):
            pair = nothing_recognised() if chance.random() < NOTHING_SHARE else photos.pair(photo, chance, mix)
            if pair is not None:
                yield pair


def main() -> None:
    """Show pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    pairs = list(make_pairs(json.loads(options.captions.read_text(encoding="utf-8"))["captions"], options.seed))
    print(f"{len(pairs)} pairs")
    for pair in pairs[: options.show]:
        print(f"\n{pair.prompt}\n  {pair.answer}")


if __name__ == "__main__":
    main()
