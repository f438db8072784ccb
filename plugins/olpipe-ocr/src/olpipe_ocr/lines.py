"""Put texts into the order in which people read them."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.image import Box
from olpipe.record import ReadText


def in_reading_order(texts: Iterable[ReadText]) -> list[ReadText]:
    """Return texts line by line from the top, and within a line from the left.

    Two texts are on one line where they share more than half of the height of the lower one.
    """
    lines: list[list[ReadText]] = []
    for text in sorted(texts, key=lambda text: _place(text).y):
        line = next((line for line in lines if _on_one_line(_place(line[0]), _place(text))), None)
        if line is None:
            lines.append([text])
        else:
            line.append(text)
    return [text for line in lines for text in sorted(line, key=lambda text: _place(text).x)]


def _place(text: ReadText) -> Box:
    return text.box or Box(0, 0, 1, 1)


def _on_one_line(one: Box, other: Box) -> bool:
    shared = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    return 2 * shared > min(one.h, other.h)
