"""Put evidence into words for a language model: `photo: dog x2 (center), toilet (left)`."""

from __future__ import annotations

from collections.abc import Sequence

from olpipe.record import Detection, Evidence

NOTHING = "nothing recognised"


def describe(evidence: Evidence, width: int) -> str:
    """Return one line: things with a box by how much of the photo they fill, then all other tags.

    Args:
        evidence: What perceivers saw.
        width: Width of the photo in pixels.
    """
    groups: dict[str, list[Detection]] = {}
    for detection in evidence.objects:
        groups.setdefault(detection.label, []).append(detection)
    largest = sorted(groups.items(), key=lambda group: (-_area(group[1]), group[0]))
    parts = [_thing(label, group, width) for label, group in largest]
    parts += [label.name for label in evidence.tags if label.name not in groups]
    return "photo: " + (", ".join(parts) or NOTHING)


def _thing(label: str, group: Sequence[Detection], width: int) -> str:
    count = f" x{len(group)}" if len(group) > 1 else ""
    return f"{label}{count} ({_place(group, width)})"


def _place(group: Sequence[Detection], width: int) -> str:
    """Name the third of the photo in which the middle of the group lies, larger boxes counting for more."""
    middle = sum((box.x + box.w / 2) * box.area for box in (detection.box for detection in group)) / _area(group)
    return ("left", "center", "right")[min(2, int(3 * middle / width))]


def _area(group: Sequence[Detection]) -> int:
    return sum(detection.box.area for detection in group)
