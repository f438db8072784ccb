"""Keep what is sound of a perceiver's evidence before it reaches a prompt or a record.

A single wrong value is left out, and the rest stays known. Otherwise the model would make up what was found.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from numbers import Real
from typing import Any

from olpipe.image import Box
from olpipe.record import LONGEST_NAME, Detection, Evidence, Label, ReadText

ROUNDING = 1e-5
"""How far beyond 0..1 a score may lie: sums of 32-bit numbers do not end exactly at 1."""

FARTHEST = 1e9
"""Numbers of pixels beyond this are no places in a photo."""

Tell = Callable[[str], None]
"""Takes what is wrong with a value and what became of it: `it gave the name '', which is empty`."""


class _Unsound(Exception):
    """A value breaks a rule. Its text says which."""


def sound(evidence: Evidence, width: int, height: int, tell: Tell) -> Evidence:
    """Return evidence without the values that break a rule.

    Numbers of numpy and the like become Python's own. Boxes are cut to the photo. Names that come again are left out.

    Args:
        evidence: What a perceiver found in a photo.
        width: Width of the original in pixels.
        height: Its height.
        tell: Called for everything that is left out or cut because it breaks a rule.
    """
    checks = _Checks(width, height, tell)
    tags = [label for found in evidence.tags if (label := checks.kept(checks.label, found)) is not None]
    return Evidence(
        tuple(thing for found in evidence.objects if (thing := checks.kept(checks.thing, found)) is not None),
        tuple(_once(tags)),
        tuple(text for found in evidence.texts if (text := checks.kept(checks.text, found)) is not None),
    )


class _Checks:
    """The rules for the evidence of one photo. Each method returns a sound value, or raises `_Unsound`."""

    def __init__(self, width: int, height: int, tell: Tell) -> None:
        self._width = width
        self._height = height
        self._tell = tell

    def kept(self, check: Callable[[Any], Any], value: Any) -> Any:
        """Return what a check makes of a value; None where the value breaks a rule, which is told."""
        try:
            return check(value)
        except _Unsound as error:
            self._tell(str(error))
            return None

    def label(self, label: Label) -> Label:
        name = _name(label.name)
        return Label(name, _score(name, label.score))

    def thing(self, thing: Detection) -> Detection:
        label = _name(thing.label)
        score, box = _score(label, thing.score), self._box(label, thing.box)
        if isinstance(thing.tags, tuple | list):
            tags = [name for found in thing.tags if (name := self.kept(_name, found)) is not None]
        else:
            tags = []
            self._tell(f"it gave {_shown(label)} the tags {_shown(thing.tags)} where a tuple is expected")
        return Detection(label, score, box, tuple(name for name in dict.fromkeys(tags) if name != label))

    def text(self, text: ReadText) -> ReadText:
        if not isinstance(text.text, str):
            raise _Unsound(f"it read {_shown(text.text)} where a text is expected")
        _check_characters("read", text.text)
        score = _score(text.text, text.score)
        box = None if text.box is None else self.kept(lambda box: self._box(text.text, box), text.box)
        return ReadText(text.text, score, box)

    def _box(self, whose: str, box: Any) -> Box:
        """Return the part of a box that lies in the photo."""
        if not isinstance(box, Box):
            raise _Unsound(f"it gave {_shown(whose)} the box {_shown(box)} where a `Box` is expected")
        sides = [_number(side) for side in (box.x, box.y, box.w, box.h)]
        x, y, w, h = (math.nan if side is None or abs(side) > FARTHEST else side for side in sides)
        if math.isnan(x + y + w + h):
            raise _Unsound(f"it gave {_shown(whose)} {box} where numbers of pixels are expected")
        left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
        cut = Box(max(left, 0), max(top, 0), 0, 0)
        cut = Box(cut.x, cut.y, min(right, self._width) - cut.x, min(bottom, self._height) - cut.y)
        outside = (
            f"it gave {_shown(whose)} {box}, which is not inside the photo of {self._width} x {self._height} pixels"
        )
        if cut.w <= 0 or cut.h <= 0:
            raise _Unsound(outside)
        if cut != Box(left, top, right - left, bottom - top):
            self._tell(f"{outside} and is cut to it")
        return cut


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise _Unsound(f"it gave the name {_shown(name)} where a text is expected")
    if not name.strip():
        raise _Unsound(f"it gave the name {_shown(name)}, which is empty")
    if "," in name:
        raise _Unsound(f"it gave the name {_shown(name)}, which has a comma")
    if name != " ".join(name.split()):
        raise _Unsound(f"it gave the name {_shown(name)}, which has line breaks or needless spaces")
    if not name.isprintable():
        raise _Unsound(f"it gave the name {_shown(name)}, which has characters that cannot be seen")
    if len(name) > LONGEST_NAME:
        raise _Unsound(f"it gave the name {_shown(name)}, which has more than {LONGEST_NAME} characters")
    return str(name)


def _check_characters(did: str, text: str) -> None:
    """Refuse halves of characters (surrogates), which no file and no model takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unsound(f"it {did} {_shown(text)}, which is no valid Unicode") from None


def _score(whose: str, score: Any) -> float:
    number = _number(score)
    if number is None:
        raise _Unsound(f"it gave {_shown(whose)} the score {_shown(score)} where a number is expected")
    if not -ROUNDING <= number <= 1 + ROUNDING:
        raise _Unsound(f"it gave {_shown(whose)} the score {score}, which is not in 0..1")
    return min(max(float(number), 0.0), 1.0)


def _number(value: Any) -> float | int | None:
    """Return a number as one of Python's own; None where it is something else. Arrays of one number are taken, too."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return value if isinstance(value, int) else float(value)


def _once(labels: list[Label]) -> list[Label]:
    """Return each name once, with its best score, at its first place."""
    best: dict[str, Label] = {}
    for label in labels:
        if label.name not in best or best[label.name].score < label.score:
            best[label.name] = label
    return list(best.values())


def _shown(value: Any) -> str:
    """Return a value as Python writes it; a long one is cut in the middle."""
    return reprlib.repr(value)
