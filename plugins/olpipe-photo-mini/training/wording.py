"""Evidence in plain words: the answers that need no caption, and the parts that captions lack."""

from __future__ import annotations

from collections.abc import Sequence

from olpipe_photo_mini.tones import BLACK_AND_WHITE, GREENERY, NIGHT

from olpipe.perception.nouns import amount, plural
from olpipe.perception.prompt import Thing

SCENES = {
    "baseball": "at a baseball game",
    "bathroom": "in a bathroom",
    "beach": "on a beach",
    "bedroom": "in a bedroom",
    "church": "in a church",
    "kitchen": "in a kitchen",
    "library": "in a library",
    "living room": "in a living room",
    "office": "in an office",
    "restaurant": "in a restaurant",
    "shop": "in a shop",
    "snow": "in the snow",
    "street": "on a street",
    "tennis": "on a tennis court",
    "lakeside": "by a lake",
    "mountain": "in the mountains",
    "valley": "in a valley",
    "stage": "on a stage",
    GREENERY: "among greenery",
}
SETTINGS = {
    "bathroom": "in a bathroom",
    "branch": "on a branch",
    "building": "on a building",
    "counter": "on a counter",
    "court": "on a tennis court",
    "field": "in a field",
    "grass": "in the grass",
    "kitchen": "in a kitchen",
    "park": "in a park",
    "plate": "on a plate",
    "road": "on a road",
    "room": "in a room",
    "sky": "in the sky",
    "slope": "on a slope",
    "snow": "in the snow",
    "station": "at a station",
    "street": "on a street",
    "track": "on a track",
    "wall": "on a wall",
    "water": "in the water",
    "wave": "on a wave",
}
"""Nouns of places that often go with things, and how to say them."""

TIMES = {NIGHT: "at night", BLACK_AND_WHITE: "in black and white"}

_SPOKEN = {"dining table": "table", "sports ball": "ball", "cell phone": "phone", "tv": "television"}
_NO_ARTICLE = frozenset({"broccoli", "scissors", "skis", "sunglasses", "jeans", "binoculars"})


def article(name: str) -> str:
    """Return a name with its article, where it has one."""
    if name in _NO_ARTICLE:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def spoken(thing: Thing) -> str:
    """Return the words for a thing: `a dog`, `two dogs`, `a group of people`."""
    name = _SPOKEN.get(thing.label, thing.label)
    if name in _NO_ARTICLE:
        return name
    if name == "person" and thing.count is None:
        return "a group of people"
    return article(name) if thing.count == 1 else f"{amount(thing.count)} {plural(name)}"


def listing(parts: Sequence[str]) -> str:
    """Join texts with commas, and the last two with `and`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def sentence(text: str) -> str:
    """Return a text as a sentence, with a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def headline(text: str) -> str:
    """Return a text as a headline: no article before it, no full stop behind it."""
    first, _, rest = text.partition(" ")
    text = rest if first in ("a", "an", "the", "some") and rest else text
    return f"{text[:1].upper()}{text[1:]}"
