"""Make one account of what several perceivers found in a photo: a thing that two of them saw is one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from olpipe.record import Detection, Evidence, ReadText, best_labels

OVERLAP = 0.5
"""Two boxes of different perceivers mean the same thing if their intersection over union is larger than this."""

T = TypeVar("T")


def merge(founds: Iterable[Evidence]) -> Evidence:
    """Return what several perceivers found in the same photo, without repetitions.

    - Boxes of different perceivers become one if they overlap by more than `OVERLAP` and have the same name, or if the
      name of one is a finer name of the other. The surer box stays, and the finer names join.
    - Equal tags become one with the best score.
    - Equal texts of different perceivers become one if their boxes overlap, or if one of them has no box.

    Each box is merged with at most one box of each other perceiver. Boxes of one perceiver are never merged: two people
    who stand close together remain two people. Where there is evidence of only one perceiver, it stays as it is.

    Args:
        founds: What each perceiver found, in order.
    """
    some = [found for found in founds if found != Evidence()]
    if len(some) < 2:
        return some[0] if some else Evidence()
    objects: list[Detection] = []
    texts: list[ReadText] = []
    for found in some:
        objects = _paired(objects, found.objects, _same_thing, _one_thing)
        texts = _paired(texts, found.texts, _same_text, _surer)
    surest_first = sorted(objects, key=lambda thing: -thing.score)
    return Evidence(tuple(surest_first), best_labels(label for found in some for label in found.tags), tuple(texts))


def _paired(
    known: Sequence[T], more: Sequence[T], likeness: Callable[[T, T], float], join: Callable[[T, T], T]
) -> list[T]:
    """Return what was known and what is new, with the most alike pairs joined. Each one is joined at most once.

    Args:
        known: What other perceivers found.
        more: What the next perceiver found.
        likeness: Says how alike two are; 0 if they are not the same.
        join: Makes one of two.
    """
    # 1. All pairs that are the same, the most alike first
    pairs = [(likeness(one, other), here, there) for here, one in enumerate(known) for there, other in enumerate(more)]
    result = list(known)
    taken: set[int] = set()
    joined: set[int] = set()
    for alike, here, there in sorted(pairs, key=lambda pair: -pair[0]):
        # 2. A pair is joined if neither of the two was joined before
        if alike > 0 and here not in taken and there not in joined:
            result[here] = join(known[here], more[there])
            taken.add(here)
            joined.add(there)
    return result + [other for there, other in enumerate(more) if there not in joined]


def _same_thing(one: Detection, other: Detection) -> float:
    overlap = one.box.overlap(other.box)
    return overlap if overlap > OVERLAP and (_covers(one, other) or _covers(other, one)) else 0.0


def _covers(one: Detection, other: Detection) -> bool:
    """Say whether the other's name is that of one, or a finer name of it."""
    return other.label.casefold() in {name.casefold() for name in (one.label, *one.tags)}


def _one_thing(one: Detection, other: Detection) -> Detection:
    """Return one thing of two. Its name is the more general one."""
    surer, less_sure = (other, one) if other.score > one.score else (one, other)
    label = one.label if _covers(one, other) else other.label
    names = {label.casefold(): label}
    for name in (*surer.tags, *less_sure.tags, one.label, other.label):
        names.setdefault(name.casefold(), name)
    return Detection(label, surer.score, surer.box, tuple(names.values())[1:])


def _same_text(one: ReadText, other: ReadText) -> float:
    if _plain(one.text) != _plain(other.text):
        return 0.0
    if one.box is None or other.box is None:
        return OVERLAP
    overlap = one.box.overlap(other.box)
    return overlap if overlap > OVERLAP else 0.0


def _surer(one: ReadText, other: ReadText) -> ReadText:
    """Return the surer of two readings; the first one where they are equally sure."""
    return other if other.score > one.score else one


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
