"""Questions about a photo that the evidence answers, and some that it cannot answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from olpipe.perception.nouns import amount, plural
from olpipe.perception.prompt import things
from olpipe.record import Evidence
from training.detector import HEIGHT, WIDTH
from training.wording import article, listing, sentence

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
ASKED = (*ANIMALS, "person", "car", "bicycle", "toilet", "chair", "bottle", "umbrella", "boat", "train", "bus", "cup")


@dataclass(frozen=True)
class Mix:
    """Which questions are asked.

    Attributes:
        share: Share of all pairs that are questions.
        animals_times: How much more often animals are asked for where there are some. Few photos have animals, so
            most questions about them would have the answer that there are none.
    """

    share: float = 0.15
    animals_times: int = 6


USUAL = Mix()

UNANSWERABLE = (
    "what colour is it?",
    "what is the person's name?",
    "what does the sign say?",
    "when was this taken?",
    "who took this photo?",
    "which city is this?",
    "what brand is it?",
    "how old is the person?",
    "what is the weather like?",
    "why are they there?",
    "what time is it?",
    "what are they saying?",
)
UNKNOWN = "That cannot be told from what was recognised."


def ask(evidence: Evidence, description: str, chance: random.Random, animals_times: int = 1) -> tuple[str, str]:
    """Return a question and its answer.

    Args:
        evidence: What was found.
        description: A sentence about the photo, for the open question.
        chance: The source of random numbers.
        animals_times: How much more often animals are asked for where there are some.
    """
    counts = _counts(evidence)
    kinds = ["animals", "how many", "is there", "open", "unanswerable", "where"]
    if any(name in ANIMALS for name in counts):
        kinds += ["animals"] * animals_times
    kind = chance.choice(kinds)
    if kind == "animals":
        question = chance.choice(("what animals are in ?", "which animals are there?", "Are there any animals?"))
        return question, _animals(counts)
    if kind == "open":
        return chance.choice(("what is in ?", "what do you see?", "Describe this photo.", "what is this?")), description
    if kind == "unanswerable":
        return chance.choice(UNANSWERABLE), UNKNOWN
    name = chance.choice([*counts, chance.choice(ASKED)])
    if kind == "how many":
        reply = _number(counts[name], name) if name in counts else f"no {plural(name)} were recognised"
        return f"how many {plural(name)} are there?", sentence(reply)
    if kind == "where":
        reply = _where(evidence, name)
        return f"where is the {name}?", reply
    question = f"is there {article(name)} in ?"
    if name not in counts:
        return question, f"No {name} was recognised."
    return question, f"Yes, {_number(counts[name], name)}."


def _number(count: int | None, name: str) -> str:
    return f"one {name}" if count == 1 else f"{amount(count)} {plural(name)}"


def _counts(evidence: Evidence) -> dict[str, int | None]:
    """Return how many of each thing were found. Things without one sure detection are left out."""
    found = things(evidence, WIDTH, HEIGHT)
    return {thing.label: thing.count for thing in found if thing.is_sure}


def _animals(counts: Mapping[str, int | None]) -> str:
    found = [_number(count, name) for name, count in counts.items() if name in ANIMALS]
    return sentence(listing(found) if found else "no animals were recognised")


def _where(evidence: Evidence, name: str) -> str:
    boxes = [detection.box for detection in evidence.objects if detection.label == name]
    if not boxes:
        return f"No {name} was recognised."
    largest = max(boxes, key=lambda box: box.area)
    third = min(2, int(3 * (largest.x + largest.w / 2) / WIDTH))
    return ("On the left.", "In the centre.", "On the right.")[third]
