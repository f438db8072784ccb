"""Check that evidence keeps its rules before it reaches a prompt or a record."""

from __future__ import annotations

import reprlib
from numbers import Real
from typing import Any

from olpipe.image import Box
from olpipe.record import Evidence

ROUNDING = 1e-5
"""How far beyond 0..1 a score may lie: sums of 32-bit numbers do not end exactly at 1."""


def check_evidence(evidence: Evidence, width: int, height: int) -> None:
    """Check names, scores and boxes.

    Args:
        evidence: What a perceiver found in a photo.
        width: Width of the original in pixels.
        height: Its height.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A name, a score or a box breaks its rule.
    """
    for label in evidence.tags:
        _check_name(label.name)
        _check_score(label.name, label.score)
    for thing in evidence.objects:
        if not isinstance(thing.tags, tuple):
            raise TypeError(f"it gave {_shown(thing.label)} the tags {_shown(thing.tags)} where a tuple is expected")
        for name in (thing.label, *thing.tags):
            _check_name(name)
        _check_score(thing.label, thing.score)
        _check_box(thing.label, thing.box, width, height)
    for text in evidence.texts:
        if not isinstance(text.text, str):
            raise TypeError(f"it read {_shown(text.text)} where a text is expected")
        _check_score(text.text, text.score)
        if text.box is not None:
            _check_box(text.text, text.box, width, height)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"it gave the name {_shown(name)} where a text is expected")
    if not name.strip():
        raise ValueError(f"it gave the name {_shown(name)}, which is empty")
    if "," in name:
        raise ValueError(f"it gave the name {_shown(name)}, which has a comma")
    if name != " ".join(name.split()):
        raise ValueError(f"it gave the name {_shown(name)}, which has line breaks or needless spaces")


def _check_score(whose: str, score: Any) -> None:
    if not isinstance(score, Real):
        raise TypeError(f"it gave {_shown(whose)} the score {_shown(score)} where a number is expected")
    if not -ROUNDING <= float(score) <= 1 + ROUNDING:
        raise ValueError(f"it gave {_shown(whose)} the score {score}, which is not in 0..1")


def _check_box(whose: str, box: Any, width: int, height: int) -> None:
    if not isinstance(box, Box):
        raise TypeError(f"it gave {_shown(whose)} the box {_shown(box)} where a `Box` is expected")
    if not all(isinstance(side, int) for side in (box.x, box.y, box.w, box.h)):
        raise TypeError(f"it gave {_shown(whose)} {box} where whole numbers are expected")
    if not (box.w > 0 and box.h > 0 and 0 <= box.x <= width - box.w and 0 <= box.y <= height - box.h):
        raise ValueError(f"it gave {_shown(whose)} {box}, which is not inside the photo of {width} x {height} pixels")


def _shown(value: Any) -> str:
    """Return a value as Python writes it; a long one is cut in the middle."""
    return reprlib.repr(value)
