"""English nouns with their number: `one dog`, `two dogs`, `several people`."""

from __future__ import annotations

NUMBERS = ("no", "one", "two", "three")

SEVERAL = "several"
"""The word for more things than there are number words. No detector counts so many reliably."""

_IRREGULAR = {
    "broccoli": "broccoli",
    "child": "children",
    "deer": "deer",
    "fish": "fish",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "sheep": "sheep",
    "shelf": "shelves",
    "woman": "women",
}


def plural(name: str) -> str:
    """Return the plural of a name of one or several words. Names like `skis` and `scissors` stay as they are."""
    *before, noun = name.split(" ")
    return " ".join([*before, _plural(noun)])


def amount(count: int | None) -> str:
    """Return the word for a number of things; None is a number that is not known, but larger than one."""
    return SEVERAL if count is None or count >= len(NUMBERS) else NUMBERS[count]


def _plural(noun: str) -> str:
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("ss", "us", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
