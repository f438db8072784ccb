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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.perception.prompt import describe
from olpipe.record import Evidence
from training import questions
from training.answers import Answers, nothing
from training.detector import HEIGHT, WIDTH
from training.photos import Photo, Photos

RECIPE_PROMPT = "Describe the photo as JSON."
NOTHING_SHARE = 0.01
"""Share of pairs without any evidence."""
PLAIN_SHARE = 0.35
"""Share of the evidence without a caption for it that is used. Answers without a caption are all alike."""
PASSES = 2
"""How often each photo is used, each time with new evidence."""


@dataclass(frozen=True)
class Pair:
    """What the user says and what the model should answer."""

    prompt: str
    answer: str


def make_pairs(
    captions: Mapping[str, Sequence[str]], seed: int, mix: questions.Mix = questions.USUAL
) -> Iterator[Pair]:
    """Yield pairs for the photos in random order, `PASSES` times, at most one pair for a photo each time.

    Args:
        captions: The captions of each photo.
        seed: Equal seeds give equal pairs.
        mix: Which questions are asked.
    """
    chance = random.Random(seed)
    photos = Photos(captions)
    answers = Answers(photos)
    for _ in range(PASSES):
        for photo in chance.sample(photos.photos, len(photos.photos)):
            if chance.random() < NOTHING_SHARE:
                yield _described(Evidence(), nothing())
                continue
            evidence = photos.evidence(photo, chance)
            if answers.has_caption(photo, evidence) or chance.random() < PLAIN_SHARE:
                yield _pair(photo, evidence, answers, chance, mix)


def _pair(photo: Photo, evidence: Evidence, answers: Answers, chance: random.Random, mix: questions.Mix) -> Pair:
    answer = answers.answer(photo, evidence)
    if evidence == Evidence() or chance.random() >= mix.share:
        return _described(evidence, answer)
    question, reply = questions.ask(evidence, answer["description"], WIDTH, chance, mix.animals_times)
    return Pair(f"{describe(evidence, WIDTH, HEIGHT)}\n{question}", reply)


def _described(evidence: Evidence, answer: Mapping[str, str]) -> Pair:
    """Return a pair as the recipe asks for it. The grammar forces keys in this order, and no white space."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return Pair(f"{RECIPE_PROMPT}\n{describe(evidence, WIDTH, HEIGHT)}", text)


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
