"""The processes that a test started. Other tests may have left servers running, for tests that come later."""

from __future__ import annotations

import psutil

_others: set[psutil.Process] = set()


def note_others() -> None:
    """Take note of what runs before a test."""
    _others.clear()
    _others.update(psutil.Process().children())


def children() -> list[psutil.Process]:
    """Return the processes that the test started, and those that they started."""
    own = [one for one in psutil.Process().children() if one not in _others]
    return own + [other for one in own for other in _descendants(one)]


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
