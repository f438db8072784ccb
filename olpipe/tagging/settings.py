"""What a recipe says about tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from olpipe.errors import RecipeError
from olpipe.languages import choose
from olpipe.tagging.folding import FOLDING
from olpipe.tagging.schema import fitting, has_tags, held_to
from olpipe.tagging.stop_words import stop_words
from olpipe.tagging.vocabulary import MOST_TERMS, Vocabulary

MAPPING = 1
"""Raise it when the same words mean other terms. It is part of recipes' keys, so photos are described again."""


class Mode(StrEnum):
    """What a vocabulary does."""

    CLOSED = "closed"
    """Only its terms can be written."""

    PREFER = "prefer"
    """Its terms replace words that mean the same. Other tags stay."""

    MAP = "map"
    """The model writes freely. Then each tag becomes a term, or is left out."""


@dataclass(frozen=True, slots=True)
class Tagging:
    """What is done with tags before they stand in a record.

    Attributes:
        vocabulary: The terms that tags may be; None where there are none.
        mode: What the vocabulary does.
        source: What messages call the vocabulary's file.
        stop: Tags that are left out, besides those that say nothing about any photo.
        synonyms: (tag, other words for it) pairs.
        limit: Most tags of a record; 0 for as many as the schema allows.
        fold: Whether tags that differ only in case, plural, spaces, hyphens or punctuation become one.
    """

    vocabulary: Vocabulary | None = None
    mode: Mode = Mode.CLOSED
    source: str = ""
    stop: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limit: int = 0
    fold: bool = True

    def about(self, schema: Mapping[str, Any]) -> Tagging | None:
        """Return itself where a schema has an array of texts called `tags`, else None."""
        return self if has_tags(schema) else None

    def brings(self, language: str) -> bool:
        """Say whether all tags are in a language because the vocabulary has names there."""
        if self.vocabulary is None or self.mode is Mode.PREFER:
            return False
        own = self.vocabulary.language
        named = any(term.words(language) for term in self.vocabulary.terms)
        return named or (bool(own) and choose(language, (own,)) is not None)

    def schema(self, schema: Mapping[str, Any], language: str) -> Mapping[str, Any]:
        """Return the schema that a model is held to: where only terms can be written, the tags are these terms.

        Args:
            schema: The recipe's schema.
            language: The language of the tags, as a BCP 47 tag.
        """
        if self.vocabulary is None or self.mode is not Mode.CLOSED:
            return schema
        return held_to(schema, fitting(schema, self.vocabulary.names(language)))

    def check(self, schema: Mapping[str, Any], language: str) -> None:
        """Refuse a vocabulary that a schema cannot be held to.

        Args:
            schema: The recipe's schema, which has tags.
            language: The language of the tags, as a BCP 47 tag.

        Raises:
            RecipeError: It has too many terms, or the schema has no room for any of them.
        """
        if self.vocabulary is None:
            return
        names = self.vocabulary.names(language)
        if self.mode is Mode.CLOSED and len(names) > MOST_TERMS:
            message = f"`{self.source}` has {len(names):,} terms, and answers are held to {MOST_TERMS:,} at most"
            raise RecipeError(message, hint="make it smaller, or take the mode `map`")
        if not fitting(schema, names):
            hint = f"the first one is `{names[0]}`: look at `items` of `schema.properties.tags`"
            raise RecipeError(f"the schema has no room for any term of `{self.source}`", hint=hint)

    def refused(self, schema: Mapping[str, Any], language: str) -> list[str]:
        """Return the names of terms that a schema has no room for, for being too long for example."""
        names = () if self.vocabulary is None else self.vocabulary.names(language)
        room = set(fitting(schema, names))
        return [name for name in names if name not in room]

    def identity(self, language: str) -> dict[str, Any]:
        """Return everything in it that records depend on, for a recipe's key. What has its usual value is left out.

        Args:
            language: The language of the tags, as a BCP 47 tag.
        """
        parts: dict[str, Any] = {"version": [FOLDING, MAPPING], "usual stop": stop_words(language)}
        if self.vocabulary is not None:
            parts |= {"vocabulary": self.vocabulary.digest, "mode": self.mode.value}
        parts |= {name: value for name in ("stop", "synonyms", "limit") if (value := getattr(self, name))}
        return parts if self.fold else parts | {"fold": False}
