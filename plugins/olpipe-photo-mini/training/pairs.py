"""Make pairs to learn from: a prompt with evidence, and the wanted answer.

    python -m training.pairs CAPTIONS [--seed 0] [--show 20]

CAPTIONS is a JSON file with the key `captions`: an object with a list of captions for each photo. No photo is needed:
the evidence is made up from what the captions mention, with the mistakes of a real detector. The answer says only what
the evidence makes likely, so that the model learns to do the same.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olpipe_photo_mini.source import PROMPTS
from olpipe_photo_mini.tones import TONES

from olpipe.perception.prompt import UNSURE, describe
from olpipe.record import Evidence, Label
from training import forms, questions
from training.answers import Answers
from training.detector import HEIGHT, WIDTH
from training.photos import Photos

RECIPE_PROMPT = PROMPTS[0]
NOTHING_SHARE = 0.02
"""Share of pairs without any evidence, or with nothing but a tone."""
FORMS_SHARE = 0.12
"""Share of pairs with keys of somebody's own in place of the recipe's."""
MOST_ALIKE = 40
"""Most pairs with the same description. Some photos have little evidence, and their answers are all alike."""


@dataclass(frozen=True)
class Pair:
    """What the user says and what the model should answer."""

    prompt: str
    answer: str


def make_pairs(
    captions: Mapping[str, Sequence[str]], seed: int, mix: questions.Mix = questions.USUAL
) -> Iterator[Pair]:
    """Yield pairs for the photos in random order, at most one pair for a photo.

    Args:
        captions: The captions of each photo.
        seed: Equal seeds give equal pairs.
        mix: Which questions are asked.
    """
    chance = random.Random(seed)
    photos = Photos(captions)
    answers = Answers(photos)
    alike: Counter[str] = Counter()
    for photo in chance.sample(photos.photos, len(photos.photos)):
        evidence = _nothing(chance) if chance.random() < NOTHING_SHARE else photos.evidence(photo, chance)
        answer = answers.answer(evidence)
        alike[answer["description"]] += 1
        if alike[answer["description"]] <= MOST_ALIKE:
            yield _pair(evidence, answer, chance, mix)


def _nothing(chance: random.Random) -> Evidence:
    """Return evidence of a photo in which nothing is recognised, except perhaps what its colours show."""
    tone = chance.choice((None, *TONES))
    return Evidence() if tone is None else Evidence(tags=(Label(tone, chance.uniform(UNSURE, 1)),))


def _pair(evidence: Evidence, answer: Mapping[str, str], chance: random.Random, mix: questions.Mix) -> Pair:
    """Return a question, a form of somebody's own, or mostly what the recipe asks for."""
    line = describe(evidence, WIDTH, HEIGHT)
    drawn = chance.random()
    if drawn < mix.share:
        question, reply = questions.ask(evidence, answer["description"], chance, mix.animals_times)
        return Pair(f"{line}\n{question}", reply)
    if drawn < mix.share + FORMS_SHARE:
        prompt, filled = forms.fill(evidence, answer, chance)
        return Pair(f"{prompt}\n{line}", _json(filled))
    return Pair(f"{RECIPE_PROMPT}\n{line}", _json(answer))


def _json(document: Mapping[str, Any]) -> str:
    """Return a document as a grammar forces it: keys in this order, and no white space."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


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
