"""Say what perceivers saw in another language than English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from olpipe.errors import UsageError, nearest
from olpipe.interfaces import Perceiver
from olpipe.languages import choose

ENGLISH = "en"
"""What perceivers speak, and what models are shown, whatever the language of the record."""


def names_in(language: str, perceivers: Iterable[Perceiver]) -> Mapping[str, str]:
    """Return what the perceivers' English names are in a language; empty for English.

    A name that is missing stays English; so do all names of perceivers that bring no other language.

    Args:
        language: A BCP 47 tag; one that is finer than what there is finds the coarser.
        perceivers: Where several know a name, the first has the say.

    Raises:
        UsageError: They bring other languages, but not this one.
    """
    if choose(language, (ENGLISH,)):
        return {}
    names: dict[str, str] = {}
    known = {ENGLISH}
    for perceiver in perceivers:
        translations = perceiver.translations()
        known |= translations.keys()
        chosen = choose(language, translations)
        if chosen is not None:
            names = {**translations[chosen], **names}
    if not names and known != {ENGLISH}:
        close = " or ".join(f"`{tag}`" for tag in nearest(language, known))
        offer = f"did you mean {close}? " if close else ""
        raise UsageError(f"there are no tags in `{language}`", hint=f"{offer}known: {', '.join(sorted(known))}")
    return names
