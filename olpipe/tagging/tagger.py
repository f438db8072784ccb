"""Make tags usable, as a recipe says: in a model's answers, and in what perceivers found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from olpipe.languages import choose
from olpipe.record import Detection, Evidence, Label, best_labels
from olpipe.tagging.folding import key
from olpipe.tagging.settings import Mode, Tagging
from olpipe.tagging.stop_words import ENGLISH, stop_words
from olpipe.tagging.vocabulary import Finder, Term, Vocabulary

TAGS, OBJECTS, TYPE = "tags", "objects", "type"
ANSWER = "data"
"""Where the task `data` puts an answer."""


class Tagger:
    """Does with tags what a recipe says. Any thread may call it."""

    def __init__(self, tagging: Tagging, language: str) -> None:
        """Set up for one recipe.

        Args:
            tagging: What the recipe says.
            language: The language of its tags, as a BCP 47 tag.
        """
        self._tagging = tagging
        self._english = choose(language, (ENGLISH,)) is not None
        self._only_terms = tagging.vocabulary is not None and tagging.mode is not Mode.PREFER
        self._term = None if tagging.vocabulary is None else Finder(tagging.vocabulary, language)
        # A tag may have synonyms without a vocabulary, too. They are found in the same way.
        terms = tuple(Term(name, others) for name, others in tagging.synonyms)
        self._synonym = Finder(Vocabulary(terms, language), language) if terms else None
        self._stop = {self.key(word) for word in tagging.stop}
        self._usual_stop = {self.key(word) for word in stop_words(language)}

    def key(self, tag: str) -> str:
        """Return a text that is the same for all tags that are the same."""
        return key(tag, english=self._english) if self._tagging.fold else tag.strip().casefold()

    def evidence(self, found: Evidence, translations: Mapping[str, str]) -> Evidence:
        """Return evidence with the names that records have. Of names that are the same, the surest one stays.

        A thing with a box keeps its own name where it is no term: it has to be called something.

        Args:
            found: What perceivers found, in English.
            translations: English names with their words in the language of the tags. Others stay English.
        """
        labels: dict[str, Label] = {}
        for label in best_labels(found.tags):
            name = self._name(translations.get(label.name, label.name), label.name)
            if name is not None:
                labels.setdefault(self.key(name), Label(name, label.score))
        labels.pop("", None)
        things = tuple(self._thing(thing, translations) for thing in found.objects)
        return Evidence(things, tuple(labels.values()), found.texts)

    def values(self, values: Mapping[str, Any], evidence: Evidence | None) -> dict[str, Any]:
        """Return what a task made of an answer, with its tags made usable.

        Tags that have a score come first, the surest before the others. Those that only the model wrote follow in its
        order.

        Args:
            values: What the task made. Tags are looked for at the top, and in the answer to a schema of one's own.
            evidence: What was found, with the names that records have; None where no perceiver looked at the photo.
        """
        made = dict(values)
        if _is_texts(made.get(TAGS)):
            made[TAGS] = self._tags(made[TAGS], evidence)
        if isinstance(made.get(OBJECTS), list):
            made[OBJECTS] = [self._written(thing) for thing in made[OBJECTS]]
        answer = made.get(ANSWER)
        if isinstance(answer, Mapping) and _is_texts(answer.get(TAGS)):
            made[ANSWER] = {**answer, TAGS: self._tags(answer[TAGS], evidence)}
        return made

    def _tags(self, tags: Iterable[str], evidence: Evidence | None) -> list[str]:
        scores = {self.key(label.name): label.score for label in (() if evidence is None else evidence.tags)}
        once = self._once(tags)
        once.sort(key=lambda tag: -scores.get(self.key(tag), -1.0))
        return once[: self._tagging.limit or None]

    def _once(self, tags: Iterable[str]) -> list[str]:
        """Return the names of tags, each once, without those that are left out."""
        first: dict[str, str] = {}
        for tag in tags:
            name = self._name(tag)
            if name is not None:
                first.setdefault(self.key(name), name)
        first.pop("", None)
        return list(first.values())

    def _name(self, *words: str) -> str | None:
        """Return the name that a record has for something; None where it is left out.

        Args:
            words: Words for it. Where none is a term or a synonym, the first one is its name.
        """
        name = self._known(*words)
        if name is None:
            name = None if self._only_terms else words[0].strip()
            if name is not None and self.key(name) in self._usual_stop:
                return None
        return None if name is None or self.key(name) in self._stop else name

    def _known(self, *words: str) -> str | None:
        """Return the term that words mean, or the tag that they are synonyms of; None where there is neither."""
        synonym = None if self._synonym is None else self._synonym(*words)
        if self._term is None:
            return synonym
        return self._term(*words) if synonym is None else self._term(synonym, *words) or self._free(synonym)

    def _free(self, name: str) -> str | None:
        return None if self._only_terms else name

    def _thing(self, thing: Detection, translations: Mapping[str, str]) -> Detection:
        local = translations.get(thing.label, thing.label)
        label = self._known(local, thing.label) or local
        names: dict[str, str] = {}
        for tag in thing.tags:
            name = self._name(translations.get(tag, tag), tag)
            if name is not None:
                names.setdefault(self.key(name), name)
        names.pop(self.key(label), None)  # a finer name that is the same as the label adds nothing
        return replace(thing, label=label, tags=tuple(names.values()))

    def _written(self, thing: Any) -> Any:
        """Return an object of an answer with its names made usable."""
        if not isinstance(thing, Mapping):
            return thing
        made = dict(thing)
        if isinstance(made.get(TYPE), str):
            made[TYPE] = self._known(made[TYPE]) or made[TYPE]
        if _is_texts(made.get(TAGS)):
            made[TAGS] = self._once(made[TAGS])
        return made


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
