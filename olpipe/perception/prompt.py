"""Put evidence into words for a language model: `photo: large dog x2 (center), maybe small toilet (left)`."""

from __future__ import annotations

from collections.abc import Sequence

from olpipe.record import Detection, Evidence

NOTHING = "nothing recognised"

UNSURE = 0.4
"""Below this score a name is given with a `maybe`: of the detector's names above it, nine in ten are right."""

SMALL = 0.01
"""Things that fill less of the photo than this are `small`; people seldom mention them."""

LARGE = 0.3
"""Things that fill more of the photo than this are `large`; people nearly always mention them."""


def describe(evidence: Evidence, width: int, height: int) -> str:
    """Return one line: things with a box by how much of the photo they fill, then all other tags.

    Args:
        evidence: What perceivers saw.
        width: Width of the photo in pixels.
        height: Its height.
    """
    groups: dict[str, list[Detection]] = {}
    for detection in evidence.objects:
        groups.setdefault(detection.label, []).append(detection)
    largest = sorted(groups.items(), key=lambda group: (-_area(group[1]), group[0]))
    parts = [_thing(label, group, width, height) for label, group in largest]
    parts += [_maybe(label.score) + label.name for label in evidence.tags if label.name not in groups]
    return "photo: " + (", ".join(parts) or NOTHING)


def _thing(label: str, group: Sequence[Detection], width: int, height: int) -> str:
    maybe = _maybe(max(detection.score for detection in group))
    share = _area(group) / (width * height)
    size = "small " if share < SMALL else "large " if share > LARGE else ""
    count = f" x{len(group)}" if len(group) > 1 else ""
    return f"{maybe}{size}{label}{count} ({_place(group, width)})"


def _maybe(score: float) -> str:
    return "maybe " if score < UNSURE else ""


def _place(group: Sequence[Detection], width: int) -> str:
    """Name the third of the photo in which the middle of the group lies, larger boxes counting for more."""
    middle = sum((box.x + box.w / 2) * box.area for box in (detection.box for detection in group)) / _area(group)
    return ("left", "center", "right")[min(2, int(3 * middle / width))]


def _area(group: Sequence[Detection]) -> int:
    return sum(detection.box.area for detection in group)
