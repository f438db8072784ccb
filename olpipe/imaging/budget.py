"""Let only so many bytes of photos be decoded at a time. A photo that does not fit waits until others are done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from olpipe import machine

SMALLEST_BYTES = 512 << 20
"""The budget is never smaller. It holds a few photos of today's phones."""

SHARE = 4
"""One part in so many of the memory that is available goes to decoding."""


class ByteBudget:
    """A number of bytes that threads share. Those who wait are served in the order in which they came."""

    def __init__(self, total: int) -> None:
        """Make a budget of which nothing is taken."""
        self._total = total
        self._taken = 0
        self._line: list[object] = []
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Take a part of the budget for a while. What is larger than the whole budget waits until it is alone."""
        place = object()
        size_bytes = min(size_bytes, self._total)
        with self._changed:
            self._line.append(place)
            try:
                while self._line[0] is not place or self._taken + size_bytes > self._total:
                    self._changed.wait()
                self._taken += size_bytes
            finally:
                self._line.remove(place)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size_bytes
                self._changed.notify_all()


@cache
def decoding_budget() -> ByteBudget:
    """Return the budget of this process."""
    return ByteBudget(max(SMALLEST_BYTES, machine.available_bytes() // SHARE))
