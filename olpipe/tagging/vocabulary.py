"""The terms that tags may be: each with its synonyms and with its names in other languages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from olpipe.languages import choose
from olpipe.tagging.folding import key, other_numbers

ENGLISH = "en"

MOST_TERMS = 10_000
"""Most terms that answers can be held to. The grammar takes no more values."""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a tag may name.

    Attributes:
        name: How it is written, unless it has a name in the language of the tags.
        synonyms: Other words for it, in the language of `name`.
        names: (BCP 47 tag, words) pairs. The first of the words is its name in that language, the others are synonyms.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def called(self, language: str) -> str:
        """Return its name in a language, or `name` where it has none there."""
        words = self.words(language)
        return words[0] if words else self.name

    def words(self, language: str) -> tuple[str, ...]:
        """Return its name and its synonyms in a language; none where the vocabulary does not have that language."""
        known = dict(self.names)
        chosen = choose(language, known)
        return () if chosen is None else known[chosen]


@dataclass(frozen=True)
class Vocabulary:
    """Terms, in the order of their file.

    Attributes:
        terms: The terms. No two have the same name.
        language: The language of their names as a BCP 47 tag; empty where the file does not say it.
    """

    terms: tuple[Term, ...]
    language: str = ""

    @cached_property
    def digest(self) -> str:
        """A digest of everything in it. Comments and the form of the file are not part of it."""
        content = [[term.name, term.synonyms, term.names] for term in self.terms]
        text = json.dumps([self.language, content], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def names(self, language: str) -> tuple[str, ...]:
        """Return the names of all terms in a language, each once."""
        return tuple(dict.fromkeys(term.called(language) for term in self.terms))


class Finder:
    """Finds the terms that words mean.

    A word is looked for among the names and synonyms in the language of the tags first, then among those of the
    vocabulary's own language, then among all others. Case, spaces, hyphens and punctuation do not count. Neither does
    the number of an English noun.
    """

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        """Set up for tags in one language.

        Args:
            vocabulary: The terms.
            language: The language of the tags, as a BCP 47 tag.
        """
        self._english = _is_english(vocabulary, language)
        self._names: dict[str, str] = {}
        for word, name in _words(vocabulary, language):
            self._names.setdefault(key(word, english=False), name)

    def __call__(self, *words: str) -> str | None:
        """Return the name of the term that one of the words means; None where none means a term.

        Args:
            words: Words for the same thing. The first that means a term decides.
        """
        for word in words:
            exact = self._names.get(key(word, english=False))
            if exact is not None:
                return exact
            others = other_numbers(word) if self._english else ()
            found = next((self._names[other] for other in others if other in self._names), None)
            if found is not None:
                return found
        return None


def _words(vocabulary: Vocabulary, language: str) -> Iterator[tuple[str, str]]:
    """Yield every word with the name that its term has in a language. Of equal words, the first one counts."""
    named = [(term, term.called(language)) for term in vocabulary.terms]
    for _, name in named:
        yield name, name
    for term, name in named:
        yield from _each(term.words(language), name)
    for term, name in named:
        yield term.name, name
    for term, name in named:
        yield from _each(term.synonyms, name)
    for term, name in named:
        for _, words in term.names:
            yield from _each(words, name)


def _each(words: Iterable[str], name: str) -> Iterator[tuple[str, str]]:
    return ((word, name) for word in words)


def _is_english(vocabulary: Vocabulary, language: str) -> bool:
    """Say whether words may be English: the tags are, or the vocabulary says or suggests that it has English names."""
    languages = {tag for term in vocabulary.terms for tag, _ in term.names}
    if choose(language, (ENGLISH,)) or ENGLISH in languages:
        return True
    return choose(vocabulary.language, (ENGLISH,)) is not None if vocabulary.language else bool(languages)
