"""Make captions agree with the evidence: they say only what the evidence makes likely, with its numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from olpipe.perception.nouns import amount, plural

POSTURES = frozenset("standing sitting laying lying walking grazing sleeping flying resting swimming parked".split())
_ONE_OF_MANY = frozenset("people men women children mice knives".split())
_EITHER = frozenset(["sheep", "skis", "scissors", "broccoli", "luggage", "glasses"])
_CROWDS = r"(?:group|herd|flock|crowd|row|team)"
_COLLECTIVES = r"(?:couple|pair|bunch|number|lot|lots|set|line|variety)"
_NUMBERS = r"(?:two|three|four|five|six|seven|eight|nine|ten|several|some|many|few|multiple|various|both|numerous)"


def agree(text: str, counts: Mapping[str, int | None], singulars: Mapping[str, Collection[str]]) -> str:
    """Return a text with the numbers of the evidence.

    The result is empty if the text speaks of one thing where there are several, or of several where there is one.
    A number that is not known, but larger than one, is `several`.

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
        if count != 1 and mentions:
            return ""
        if count != 1:
            text = _counted(text, pattern, count)
    return text


def several(one: str) -> str:
    """Return the plural of a word. Words like `people` and `sheep` stay as they are."""
    return one if one in _ONE_OF_MANY or one in _EITHER else plural(one)


def _counted(text: str, pattern: str, count: int | None) -> str:
    """Return a text that says how many there are: in place of a number word or a crowd, or at its beginning."""
    # 1. `three small dogs`, `a couple of dogs`
    said = re.search(rf"\b(?:an? )?(?:{_NUMBERS}|(?:\w+ )?{_COLLECTIVES} of) (?:\w+ )?{pattern}", text)
    if said:
        return text[: said.start()] + f"{amount(count)} {said['noun']}" + text[said.end() :]
    # 2. `a group of dogs`; that stays where there are many
    crowd = re.search(rf"\b(?:an? |the )?(?:small |large |big |huge )?{_CROWDS} of {pattern}", text)
    if crowd:
        if count is None:
            return text
        return text[: crowd.start()] + f"{amount(count)} {crowd['noun']}" + text[crowd.end() :]
    # 3. `dogs`, at the beginning
    bare = re.match(rf"(?:the )?{pattern}", text)
    return f"{amount(count)} {bare['noun']}{text[bare.end() :]}" if bare else text
