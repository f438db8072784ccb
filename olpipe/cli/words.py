"""Sizes, times and tables in the words that Ollama's command line uses.

Source: https://github.com/ollama/ollama/blob/main/format/time.go
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from olpipe.cli.bar import width
from olpipe.cli.live_line import columns as columns_of
from olpipe.sizes import size as size

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FOREVER_S = 20 * 365 * _DAY
_NARROWEST = 16
"""A column of texts that is narrower than this goes below the other cells."""
_BELOW = " " * 8


def time(then: float, now: float) -> str:
    """Write how far a time is from now, both in seconds since the epoch: `3 days ago`."""
    if then - now > _FOREVER_S:
        return "Forever"
    return f"{duration(now - then)} ago" if then <= now else f"{duration(then - now)} from now"


def duration(seconds: float) -> str:
    """Write a length of time in its largest fitting unit: `About an hour`; hours are rounded, others cut."""
    whole = int(seconds)
    minutes, hours = whole // _MINUTE, int(seconds / _HOUR + 0.5)
    steps = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < _MINUTE, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 14, f"{hours // 24} days"),
        (hours < 24 * 60, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((text for holds, text in steps if holds), f"{whole // _HOUR // 24 // 365} years")


def table(rows: Sequence[Sequence[str]], *, indent: str = "", padding: int = 4, columns: int = 0) -> str:
    """Lay rows out in left-aligned columns.

    Args:
        rows: The cells of each row. They may have colours.
        indent: What stands before each line.
        padding: How many spaces are between columns.
        columns: How wide the terminal is. Where a line is wider, its last cell is broken between words. 0 breaks
            nothing: each row is one line.
    """
    widths = [max(map(_width, column)) + padding for column in zip(*rows, strict=True)][:-1]
    start = len(indent) + sum(widths)
    room, is_broken = columns - start, any(columns and start + _width(row[-1]) > columns for row in rows)
    lines: list[str] = []
    for *cells, last in rows:
        beginning = indent + "".join(map(_padded, cells, widths))
        if not is_broken:
            lines.append(beginning + last)
        elif room >= _NARROWEST or not cells:
            first, *others = folded(last, max(room, 1))
            lines += [beginning + first, *(" " * start + other for other in others)]
        else:
            below = indent + _BELOW
            lines += [beginning, *(below + part for part in folded(last, max(columns - len(below), 1)))]
    return "\n".join(line.rstrip() for line in lines)


def folded(text: str, columns: int) -> list[str]:
    """Break a text between words into lines that are no wider than some columns; 0 breaks nothing."""
    import textwrap

    if columns <= 0:
        return [text]
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False) or [""]


def screen_columns() -> int:
    """Return how wide the terminal of stdout is; 0 where stdout is none, so that nothing is broken in a pipe."""
    return columns_of(sys.stdout) if sys.stdout.isatty() else 0


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    return width(click.unstyle(cell))
