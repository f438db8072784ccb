"""Languages by their BCP 47 tags: which texts are tags, and which available language a tag stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

# Regions where Chinese is written in traditional characters
_TRADITIONAL = {"tw", "hk", "mo"}


def is_tag(text: str) -> bool:
    """Say whether a text has the form of a tag. Whether there is such a language is not checked."""
    return _TAG.fullmatch(text) is not None


def choose(tag: str, available: Iterable[str]) -> str | None:
    """Return the available language that a tag stands for, or None.

    A tag that is not available stands for the longest available tag that it begins with: `de-AT` stands for `de`.
    Chinese without a script has the script of its region; without a region, it has simplified characters.

    Source: https://www.rfc-editor.org/rfc/rfc4647#section-3.4
    """
    known = {language.lower(): language for language in available}
    return next((known[candidate] for candidate in _candidates(tag) if candidate in known), None)


def _candidates(tag: str) -> Iterator[str]:
    """Yield the tag, then shorter and shorter ones."""
    subtags = tag.lower().split("-")
    if subtags[0] == "zh" and not {"hans", "hant"} & set(subtags):
        subtags.insert(1, "hans" if _TRADITIONAL.isdisjoint(subtags) else "hant")
    for length in range(len(subtags), 0, -1):
        yield "-".join(subtags[:length])
