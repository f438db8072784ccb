"""Documents with keys of somebody's own: what evidence tells is filled in, and nothing else is made up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from olpipe_photo_mini.source import PROMPTS

from olpipe.perception.prompt import things
from olpipe.record import Evidence
from training.detector import HEIGHT, WIDTH
from training.questions import ANIMALS

UNKNOWN = "unknown"

TEXTS = {
    "title": ("headline", "name", "subject", "label", "heading", "short_title"),
    "description": ("caption", "summary", "text", "content", "scene", "details", "short_description", "what"),
    "alt": ("alt_text", "altText", "accessible_text", "image_alt"),
}
"""Keys of other people for each of the three texts."""

UNTOLD = (
    "mood brand price weather season colour color location city country date year photographer author quote story "
    "emotion style camera material event license gender age season_name dominant_color text_in_image website notes"
).split()
"""Keys for which no evidence has anything."""


def fill(evidence: Evidence, answer: Mapping[str, str], chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a prompt and a filled document with two to four keys.

    Args:
        evidence: What was found.
        answer: The three texts.
        chance: The source of random numbers.
    """
    found = {thing.label: thing.count for thing in things(evidence, WIDTH, HEIGHT) if thing.is_sure}
    people = found.get("person", 0)
    values: list[tuple[str, Any]] = [(chance.choice(keys), answer[text]) for text, keys in TEXTS.items()]
    values = chance.sample(values, chance.choice((1, 2)))
    values += [(key, UNKNOWN) for key in chance.sample(UNTOLD, chance.choice((0, 1, 1, 2)))]
    if people is not None and chance.random() < 0.3:
        values.append((chance.choice(("people", "person_count", "number_of_people")), people))
    if chance.random() < 0.3:
        values.append((chance.choice(("animals", "has_animals", "animal")), not found.keys().isdisjoint(ANIMALS)))
    if chance.random() < 0.2:
        values.append((chance.choice(("has_people", "people_visible")), people != 0))
    return chance.choice(PROMPTS), dict(chance.sample(values, len(values)))
