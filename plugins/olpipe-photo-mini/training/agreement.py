"""Make captions agree with the evidence: they say only what the evidence makes likely, with its numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from olpipe.perception.nouns import number, plural
from training.captions import UNITS

OPENERS = frozenset(
    "with that which while and as who near behind by in on at under over inside outside next for from to through "
    "during along beside between against around across down up into off above below while has have is are was".split()
)
POSTURES = frozenset("standing sitting laying lying walking grazing sleeping flying resting swimming parked".split())
STATES = POSTURES | frozenset(
    "eating playing running skiing surfing skateboarding snowboarding jumping waiting driving seated together outside "
    "outdoors".split()
)
"""Words that a sentence may end with although they are not nouns."""

_ARTICLES = frozenset("a an the some their its of".split())
"""At the end of a phrase, the word after one of these is a noun."""

_ONE_OF_MANY = frozenset("people men women children mice knives".split())
_EITHER = frozenset(["sheep", "skis", "scissors", "broccoli", "luggage", "glasses"])
_CROWDS = r"(?:group|herd|flock|crowd|row|team)"
_COLLECTIVES = r"(?:couple|pair|bunch|number|lot|lots|set|line|variety)"
_NUMBERS = r"(?:two|three|four|five|six|seven|eight|nine|ten|several|some|many|few|multiple|various|both|numerous)"
_EXACT_UP_TO = 4
"""Up to this many things, the number itself is said."""
_SEVERAL_UP_TO = 6
"""Up to this many things, people say `several`; above it, they say `many`."""


def trim(text: str, nouns: Collection[str], allowed: Collection[str]) -> str:
    """Return a clean caption without the phrases that say more than is allowed; empty when nothing is left.

    Args:
        text: The caption.
        nouns: Words that are known to be nouns. Other words are always allowed.
        allowed: Nouns that may be said.
    """
    # 1. `a dog that is running` becomes `a dog running`
    text = re.sub(r" (?:that |who |which )?(?:is|are) (?=\w+ing\b)", " ", text)
    # 2. Drop each phrase that may not be said, and what is before it as far as a caption cannot end with that
    kept: list[list[str]] = []
    for phrase in phrases(text):
        if _may_be_said(phrase, nouns, allowed):
            kept.append(phrase)
            continue
        if not kept:
            return ""
        while len(kept) > 1 and not _may_end(kept[-1], nouns):
            kept.pop()
    # 3. Let the caption end with a phrase that it may end with
    while kept and not _may_end(kept[-1], nouns):
        kept.pop()
    return " ".join(unit.replace("_", " ") for phrase in kept for unit in phrase).strip(",")


def phrases(text: str) -> list[list[str]]:
    """Cut a clean caption into phrases, before prepositions, conjunctions and participles.

    Each phrase is a list of words. A fixed expression counts as one word: `next_to`.
    """
    units = UNITS.sub(lambda unit: unit[0].replace(" ", "_"), text).split()
    found: list[list[str]] = [[]]
    for unit in units:
        first = unit.split("_")[0].strip(",")
        if found[-1] and (first in OPENERS or "_" in unit or first.endswith("ing") or found[-1][-1].endswith(",")):
            found.append([])
        found[-1].append(unit)
    return found


def _may_be_said(phrase: Sequence[str], nouns: Collection[str], allowed: Collection[str]) -> bool:
    """Say whether a phrase has no noun that is not allowed. A word after an article is a noun even if it is unknown."""
    words = [word.strip(",") for unit in phrase for word in unit.split("_")]
    if any(word in nouns and word not in allowed for word in words) or set(words) <= OPENERS:
        return False
    return words[-1] in allowed or len(words) < 2 or _ARTICLES.isdisjoint(words[-3:-1])


def _may_end(phrase: Sequence[str], nouns: Collection[str]) -> bool:
    """Say whether a caption may end with a phrase: its last word is a noun, or one of `STATES`."""
    last = phrase[-1].split("_")[-1].strip(",")
    return (last in nouns or last in STATES) and (len(phrase) > 1 or last in STATES)


def agree(text: str, counts: Mapping[str, int], singulars: Mapping[str, Collection[str]]) -> str:
    """Return a text with the numbers of the evidence.

    The result is empty if the text speaks of one thing where there are several, or of several where there is one.

    Args:
        text: The text.
        counts: How many of each thing were found.
        singulars: The words for one of each thing.
    """
    for name, count in counts.items():
        ones = singulars[name]
        many = {several(one) for one in ones}
        pattern = rf"(?P<noun>\b(?:{'|'.join(sorted(map(re.escape, many), key=len, reverse=True))})\b)"
        mentions = re.findall(rf"\b(?:{'|'.join(sorted(map(re.escape, ones), key=len, reverse=True))})\b", text)
        mentions = [one for one in mentions if one not in _EITHER and one not in _ONE_OF_MANY]
        found = re.search(pattern, text)
        if count == 1 and found and found["noun"] not in _EITHER:
            return ""
        if count > 1 and mentions and not found:
            return ""
        if count > 1:
            text = _counted(text, pattern, count)
    return text


def several(one: str) -> str:
    """Return the plural of a word. Words like `people` and `sheep` stay as they are."""
    return one if one in _ONE_OF_MANY or one in _EITHER else plural(one)


def quantity(count: int) -> str:
    """Return how people say a number of things."""
    if count <= _EXACT_UP_TO:
        return number(count)
    return "several" if count <= _SEVERAL_UP_TO else "many"


def _counted(text: str, pattern: str, count: int) -> str:
    """Return a text that says how many there are: in place of a number word or a small crowd, or at its beginning."""
    # 1. `three small dogs`, `a couple of dogs`
    said = re.search(rf"\b(?:an? )?(?:{_NUMBERS}|(?:\w+ )?{_COLLECTIVES} of) (?:\w+ )?{pattern}", text)
    if said:
        return text[: said.start()] + f"{quantity(count)} {said['noun']}" + text[said.end() :]
    # 2. `a group of dogs`; that stays where there are many
    crowd = re.search(rf"\b(?:an? |the )?(?:small |large |big |huge )?{_CROWDS} of {pattern}", text)
    if crowd:
        if count > _EXACT_UP_TO:
            return text
        return text[: crowd.start()] + f"{quantity(count)} {crowd['noun']}" + text[crowd.end() :]
    # 3. `dogs`, at the beginning
    bare = re.match(rf"(?:the )?{pattern}", text)
    return f"{quantity(count)} {bare['noun']}{text[bare.end() :]}" if bare else text
