"""Languages by their BCP 47 tags: what is one, and which of those at hand it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

# Where Chinese is written in traditional characters
_TRADITIONAL = {"tw", "hk", "mo"}


def is_tag(text: str) -> bool:
    """Say whether a text has the form of a tag; that such a language exists is not looked up."""
    return _TAG.fullmatch(text) is not None


def choose(tag: str, available: Iterable[str]) -> str | None:
    """Return the available language that a tag means, or None.

    A finer tag means the coarser one that there is: `de-AT` is `de`. Chinese without a script is
    written as its region writes it, without a region in simplified characters.

    Source: https://www.rfc-editor.org/rfc/rfc4647#section-3.4
    """
    known = {language.lower(): language for language in available}
    return next((known[candidate] for candidate in _candidates(tag) if candidate in known), None)


def _candidates(tag: str) -> Iterator[str]:
    """Yield ever coarser tags."""
    subtags = tag.lower().split("-")
    if subtags[0] == "zh" and not {"hans", "hant"} & set(subtags):
        subtags.insert(1, "hans" if _TRADITIONAL.isdisjoint(subtags) else "hant")
    for length in range(len(subtags), 0, -1):
        yield "-".join(subtags[:length])
