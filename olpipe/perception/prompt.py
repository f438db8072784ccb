"""Put evidence into words for a language model: `photo: two dogs close up (center), maybe small toilet (left)`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from olpipe.perception.nouns import amount, plural
from olpipe.record import Detection, Evidence, Label

WORDING = 3
"""Raise it when the same evidence gets other words. It is part of recipes' keys, so photos are described again."""

NOTHING = "nothing recognised"

UNSURE = 0.6
"""Names with a lower score get a `maybe`. For `photo-mini`, lower ones are right less often than wrong."""

MOST_COUNTED = 3
"""More things of a kind than this are `several`. Detectors miscount larger groups more often than not."""

SMALL = 0.01
"""Things that fill less of the photo than this are `small`; people seldom mention them."""

LARGE = 0.3
"""Things that fill more of the photo than this are seen `close up`; people nearly always mention them."""


LONGEST_TEXT = 200
"""Most characters of a text in the photo that are said. A longer one ends with `…`."""

LONGEST_TEXTS = 1000
"""Most characters of all texts together. Those that come later are not said."""

MOST_WORDS = 4
"""A name with more words than this is quoted: it may be a sentence that was written to be obeyed."""

_PLAIN = re.compile(rf"[\w'’&./+-]+( [\w'’&./+-]+){{0,{MOST_WORDS - 1}}}")
_JOINERS = "\u200c\u200d"
"""Characters that cannot be seen, but belong to the spelling of Persian words and of emoji."""


@dataclass(frozen=True, slots=True)
class Thing:
    """All detections of one label in a photo.

    Attributes:
        label: The perceiver's name.
        count: How many there are, as far as it is sure; None where it is only sure that there are several.
        score: Score of the surest one, in 0..1.
        share: Share of the photo that they fill together; may exceed 1 where they overlap.
        place: The third of the photo in which their middle lies: `left`, `center` or `right`.
    """

    label: str
    count: int | None
    score: float
    share: float
    place: str

    @property
    def is_sure(self) -> bool:
        """Whether it is given without a `maybe`."""
        return self.score >= UNSURE

    @property
    def is_small(self) -> bool:
        """Whether it fills so little that people seldom mention it."""
        return self.share < SMALL

    @property
    def is_large(self) -> bool:
        """Whether it fills so much that people nearly always mention it."""
        return self.share > LARGE


def describe(evidence: Evidence, width: int, height: int) -> str:
    """Return one line: things with boxes, largest first; other tags; small things with boxes; words in the photo.

    A finer name of a thing that has a box is left out: it would read like a second thing. Names that are not plain
    words are quoted, and so are all words in the photo. Nothing in them can end the quotes or the line.

    Args:
        evidence: What perceivers found.
        width: Width of the photo in pixels.
        height: Its height.
    """
    found = things(evidence, width, height)
    parts = [_words(thing) for thing in found if not thing.is_small]
    parts += [_maybe(label.score >= UNSURE) + _name(label.name) for label in without_box(evidence)]
    parts += [_words(thing) for thing in found if thing.is_small]
    if read := _read([text.text for text in evidence.texts]):
        parts.append(f"it reads {' '.join(read)}")
    return "photo: " + (", ".join(parts) or NOTHING)


def things(evidence: Evidence, width: int, height: int) -> list[Thing]:
    """Return the things that have boxes, one for each label, largest first."""
    groups: dict[str, list[Detection]] = {}
    for detection in evidence.objects:
        groups.setdefault(detection.label, []).append(detection)
    found = [
        Thing(
            label,
            _count([detection.score for detection in group]),
            max(detection.score for detection in group),
            _area(group) / (width * height),
            _place(group, width),
        )
        for label, group in groups.items()
    ]
    return sorted(found, key=lambda thing: (-thing.share, thing.label))


def without_box(evidence: Evidence) -> list[Label]:
    """Return the tags that are neither the name nor a finer name of a thing that has a box, the surest first."""
    named = {name for detection in evidence.objects for name in (detection.label, *detection.tags)}
    return [label for label in evidence.tags if label.name not in named]


def _count(scores: Sequence[float]) -> int | None:
    """Return how many things the scores of their detections bear; None where that is only that there are several.

    A thing that was surely found stays one thing where at most two more are unsure: these are often the same thing
    again. Where all are unsure, they all count.
    """
    sure = sum(score >= UNSURE for score in scores) or len(scores)
    unsure = len(scores) - sure
    if sure == 1 and unsure < MOST_COUNTED:
        return 1
    return sure if sure <= MOST_COUNTED and not unsure else None


def _words(thing: Thing) -> str:
    size = "small " if thing.is_small else ""
    label = _name(thing.label)
    name = f"{size}{label}"
    if thing.count != 1:
        name = f"{amount(thing.count)} {size}{plural(label) if label == thing.label else label}"
    return f"{_maybe(thing.is_sure)}{name}{' close up' if thing.is_large else ''} ({thing.place})"


def _name(name: str) -> str:
    """Return a name of a few plain words as it is, and any other name quoted."""
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _read(texts: Sequence[str]) -> list[str]:
    """Return the words in the photo, each text quoted, as far as there is room for them."""
    room = LONGEST_TEXTS
    read = []
    for text in (" ".join(text.split()) for text in texts):
        said = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
        room -= len(said)
        if room < 0:
            break
        if said:
            read.append(_quoted(said))
    return read


def _quoted(text: str) -> str:
    """Return a text in quotes on one line, which nothing in the text can end.

    It is written as in JSON. Characters that cannot be seen are written as numbers: they could turn the direction of
    writing, or hide words.
    """
    line = json.dumps(" ".join(text.split()), ensure_ascii=False)
    return "".join(
        character if character.isprintable() or character in _JOINERS else json.dumps(character)[1:-1]
        for character in line
    )


def _maybe(is_sure: bool) -> str:
    return "" if is_sure else "maybe "


def _place(group: Sequence[Detection], width: int) -> str:
    """Return the third of the photo in which the middle of the group lies. Larger boxes count for more."""
    middle = sum((box.x + box.w / 2) * box.area for box in (detection.box for detection in group)) / _area(group)
    return ("left", "center", "right")[min(2, int(3 * middle / width))]


def _area(group: Sequence[Detection]) -> int:
    return sum(detection.box.area for detection in group)
