"""Find tags that are the same but for case, plural, spaces, hyphens or punctuation.

Nothing is rewritten here. A tag gets a key, and tags with the same key are the same. Only English nouns have their
number removed from the key, and only in words of Latin letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pluralizer import Pluralizer

FOLDING = 1
"""Raise it when other tags are the same. It is part of recipes' keys, so photos are described again."""

ANOTHER_MEANING = frozenset(
    (
        *(
            "binoculars",
            "blues",
            "boxers",
            "braces",
            "briefs",
            "clothes",
            "customs",
            "eyeglasses",
            "glasses",
            "goggles",
        ),
        *(
            "goods",
            "grounds",
            "jeans",
            "news",
            "overalls",
            "pajamas",
            "pants",
            "pliers",
            "pyjamas",
            "remains",
            "scissors",
        ),
        *("shades", "shears", "shorts", "slacks", "spectacles", "sunglasses", "tights", "tongs", "trousers", "trunks"),
        *("tweezers", "woods", "works"),
    )
)
"""Plurals that are the name of another thing than their singular, or that have none: `glasses` are no `glass`.

It holds for a word alone: `wine glasses` are the plural of `wine glass`.
"""

KEPT = frozenset("#&%@*†‡§")
"""Marks that carry a meaning, though Unicode calls some of them punctuation: `C#` is not `C`."""

_LATIN_WORD = re.compile(r"[a-z]{3,}")
_MOST_WORDS = 50_000


def words(tag: str) -> list[str]:
    """Return the words of a tag in lower case, without punctuation. What stands between two digits stays.

    A tag in a script that writes no spaces is one word.
    """
    text = _plain(tag)
    if text.isalnum():
        return [text]
    spaced = "".join(
        character if not _separates(character) or _between_digits(text, at) else " "
        for at, character in enumerate(text)
    )
    return re.split(r"(?<!\d) +| +(?!\d)", spaced.strip(" ")) if spaced.strip(" ") else []


def key(tag: str, *, english: bool) -> str:
    """Return a text that is the same for all tags that are the same; empty where there are no letters or digits.

    Args:
        tag: A tag.
        english: Whether the tag may be English, so that `dogs` is the same as `dog`.
    """
    found = words(tag)
    joined = "".join(found)
    if not english or joined in ANOTHER_MEANING or not found:
        return joined
    return "".join([*found[:-1], singular(found[-1])])


def folded(tags: Iterable[str], *, english: bool) -> list[str]:
    """Return the tags without those that are the same as an earlier one, and without those of punctuation only.

    The first of several stays as it is, apart from spaces around it. The order stays.
    """
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(key(tag, english=english), tag.strip())
    first.pop("", None)
    return list(first.values())


@lru_cache(maxsize=_MOST_WORDS)
def singular(word: str) -> str:
    """Return a word that stands for an English noun and its plural.

    It is the singular nearly always: `dog` for `dogs`. For a word that only looks like a plural it may be no word,
    such as `axi` for `axis`. So it is good for comparing, and not for showing.

    Args:
        word: One word in lower case.
    """
    while _LATIN_WORD.fullmatch(word):
        shorter: str = _rules().singular(word)
        if shorter == word:
            break
        word = shorter
    return word


def other_numbers(tag: str) -> list[str]:
    """Return the keys of an English name's singular and plural, as far as they mean the same thing."""
    *before, noun = words(tag) or [""]
    joined = "".join([*before, noun])
    if not _LATIN_WORD.fullmatch(noun) or joined in ANOTHER_MEANING:
        return []
    forms = ["".join([*before, form]) for form in (_rules().singular(noun), _rules().plural(noun))]
    return [form for form in forms if form != joined and form not in ANOTHER_MEANING]


@cache
def _rules() -> Pluralizer:
    from pluralizer import Pluralizer

    rules = Pluralizer()  # type: ignore[no-untyped-call]
    # What the library's rules get wrong, and photos often show
    for one in ("human", "lens", "rhinoceros", "selfie", "shaman", "thermos", "virus"):
        rules.add_irregular_rule(one, f"{one}es" if one.endswith("s") else f"{one}s")
    return rules


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=4096)
def _separates(character: str) -> bool:
    return character not in KEPT and unicodedata.category(character)[0] in "ZPC" and character not in "\u200c\u200d"


def _between_digits(text: str, at: int) -> bool:
    return 0 < at < len(text) - 1 and text[at - 1].isdigit() and text[at + 1].isdigit()
