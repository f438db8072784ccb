"""Translate the names that perceivers give from English into other languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from olpipe.errors import UsageError, nearest
from olpipe.interfaces import Perceiver
from olpipe.languages import choose
from olpipe.registry import blaming

ENGLISH = "en"
"""The language of perceivers' names, and of the evidence in a prompt, whatever the language of the record."""


def names_in(language: str, perceivers: Iterable[Perceiver], *, needed: bool = True) -> Mapping[str, str]:
    """Return the perceivers' English names with their words in a language; empty for English.

    A name that is missing stays English. So do all names of perceivers that bring no other language.

    Args:
        language: A BCP 47 tag. Where there is no `de-AT`, it finds `de`.
        perceivers: The perceivers, in order. Where several translate a name, the word of the first one counts.
        needed: Whether the names have to be in that language.

    Raises:
        UsageError: The perceivers bring other languages, but not this one, which is needed.
        PluginError: A perceiver failed.
    """
    if choose(language, (ENGLISH,)):
        return {}
    names: dict[str, str] = {}
    known = {ENGLISH}
    for perceiver in perceivers:
        with blaming(f"the perceiver `{perceiver.name}`"):
            translations = perceiver.translations()
            if not isinstance(translations, Mapping):
                raise TypeError(f"its `translations` are a {type(translations).__name__} where a mapping is expected")
        known |= translations.keys()
        chosen = choose(language, translations)
        if chosen is not None:
            names = {**translations[chosen], **names}
    if needed and not names and known != {ENGLISH}:
        close = " or ".join(f"`{tag}`" for tag in nearest(language, known))
        offer = f"did you mean {close}? " if close else ""
        raise UsageError(f"there are no tags in `{language}`", hint=f"{offer}known: {', '.join(sorted(known))}")
    return names
