"""Sizes, times and tables in the words that Ollama's command line uses.

Source: https://github.com/ollama/ollama/blob/main/format/bytes.go and format/time.go
"""

from __future__ import annotations

from collections.abc import Sequence

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FOREVER_S = 20 * 365 * _DAY


def size(count: int) -> str:
    """Write a number of bytes with a decimal unit: `98 MB`, `4.7 GB`."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 10 and count % factor else f"{int(value)} {unit}"
    return f"{count} B"


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


def table(rows: Sequence[Sequence[str]], *, indent: str = "", padding: int = 4) -> str:
    """Lay rows out in left-aligned columns, one line each."""
    widths = [max(map(len, column)) + padding for column in zip(*rows, strict=True)]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join((indent + line).rstrip() for line in lines)
