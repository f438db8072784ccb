"""Say what a model sees, by how many answers are right, and how many would be right if it guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from olpipe.checkup.questions import KINDS

SURELY = 0.01
"""What would happen by guessing less often than this is no guess."""

PROBABLY = 0.05
"""The same for one kind of question, where the answers to all questions are no guesses."""

_TOGETHER = {("left_right", "above_below"): "positions"}


@dataclass(frozen=True, slots=True)
class Score:
    """How one kind of question was answered.

    Attributes:
        kind: A key of `KINDS`.
        right: How many answers were right.
        asked: How many questions were answered.
        guessing: Which part of the answers would be right if the model guessed.
    """

    kind: str
    right: int
    asked: int
    guessing: float

    @property
    def luck(self) -> float:
        """How likely it is to have at least so many right answers by guessing."""
        return _at_least(self.right, _by_guessing([self]))


def seen(scores: Sequence[Score]) -> list[str]:
    """Return the kinds of questions whose answers are better than guesses."""
    right = sum(score.right for score in scores)
    limit = PROBABLY if _at_least(right, _by_guessing(scores)) < SURELY else SURELY
    return [score.kind for score in scores if score.luck < limit]


def verdict(model: str, scores: Sequence[Score]) -> str:
    """Return in one sentence what a model sees."""
    kinds = [score.kind for score in scores]
    found = seen(scores)
    missed = [kind for kind in kinds if kind not in found]
    if not found:
        return f"`{model}` does not see: its answers are no better than guesses."
    if not missed:
        return f"`{model}` sees: {_listed(found, 'and')}."
    return f"`{model}` sees {_listed(found, 'and')}, but not {_listed(missed, 'or')}."


def _by_guessing(scores: Sequence[Score]) -> list[float]:
    """Return how likely each number of right answers is by guessing, from none to all."""
    chances = [1.0]
    for score in scores:
        for _ in range(score.asked):
            wrong, right = (1 - score.guessing), score.guessing
            chances = [wrong * a + right * b for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)]
    return chances


def _at_least(right: int, chances: Sequence[float]) -> float:
    return math.fsum(chances[right:])


def _listed(kinds: Sequence[str], word: str) -> str:
    """Return what the kinds of questions ask for as a list, where two kinds may have one name together."""
    names: Mapping[str, str] = KINDS
    for both, name in _TOGETHER.items():
        if set(both) <= set(kinds):
            names = {**names, both[0]: name}
            kinds = [kind for kind in kinds if kind != both[1]]
    *others, last = [names[kind] for kind in kinds]
    return f"{', '.join(others)} {word} {last}" if others else last
