"""Put evidence into words for a language model: `photo: two dogs close up (center), maybe small toilet (left)`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from olpipe.perception.nouns import number, plural
from olpipe.record import Detection, Evidence

WORDING = 2
"""Raise it when the same evidence gets other words. It is part of recipes' keys, so photos are described again."""

NOTHING = "nothing recognised"

UNSURE = 0.4
"""Names with a lower score get a `maybe`. Of the detector's names with a higher score, nine in ten are right."""

SMALL = 0.01
"""Things that fill less of the photo than this are `small`; people seldom mention them."""

LARGE = 0.3
"""Things that fill more of the photo than this are seen `close up`; people nearly always mention them."""


@dataclass(frozen=True, slots=True)
class Thing:
    """All detections of one label in a photo.

    Attributes:
        label: The perceiver's name.
        count: How many detections there are.
        score: Score of the surest one, in 0..1.
        share: Share of the photo that they fill together; may exceed 1 where they overlap.
        place: The third of the photo in which their middle lies: `left`, `center` or `right`.
    """

    label: str
    count: int
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
    """Return one line: first things with boxes, largest first, then all other tags, then words in the photo.

    Args:
        evidence: What perceivers found.
        width: Width of the photo in pixels.
        height: Its height.
    """
    found = things(evidence, width, height)
    named = {thing.label for thing in found}
    parts = [_words(thing) for thing in found]
    parts += [_maybe(label.score >= UNSURE) + label.name for label in evidence.tags if label.name not in named]
    if read := [_quoted(text.text) for text in evidence.texts if text.text.strip()]:
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
            len(group),
            max(detection.score for detection in group),
            _area(group) / (width * height),
            _place(group, width),
        )
        for label, group in groups.items()
    ]
    return sorted(found, key=lambda thing: (-thing.share, thing.label))


def _words(thing: Thing) -> str:
    size = "small " if thing.is_small else ""
    name = f"{number(thing.count)} {size}{plural(thing.label)}" if thing.count > 1 else f"{size}{thing.label}"
    return f"{_maybe(thing.is_sure)}{name}{' close up' if thing.is_large else ''} ({thing.place})"


def _quoted(text: str) -> str:
    """Return words from a photo as a quoted text on one line, which nothing in the words can end."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _maybe(is_sure: bool) -> str:
    return "" if is_sure else "maybe "


def _place(group: Sequence[Detection], width: int) -> str:
    """Return the third of the photo in which the middle of the group lies. Larger boxes count for more."""
    middle = sum((box.x + box.w / 2) * box.area for box in (detection.box for detection in group)) / _area(group)
    return ("left", "center", "right")[min(2, int(3 * middle / width))]


def _area(group: Sequence[Detection]) -> int:
    return sum(detection.box.area for detection in group)
