"""English nouns with their number: `one dog`, `two dogs`, `many people`."""

from __future__ import annotations

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
MANY = "many"
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


def number(count: int) -> str:
    """Return the word for a number of things."""
    return NUMBERS[count] if count < len(NUMBERS) else MANY


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
