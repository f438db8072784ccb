"""Wait for a lock that another process holds, in a way that can be cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from olpipe.interfaces import Progress, ProgressCallback

POLL_S = 0.2
"""How often `progress` is told that somebody waits. Then it can cancel the waiting."""


@contextmanager
def held(lock: FileLock, status: str, progress: ProgressCallback) -> Iterator[None]:
    """Hold a lock while a block runs.

    Args:
        lock: The lock.
        status: What to tell `progress` while another process has the lock.
        progress: Called again and again while this waits for the lock. An exception that it raises ends the waiting.
    """
    patience_s = 0.0  # the first attempt does not wait, so that `progress` is told at once
    while True:
        try:
            lock.acquire(timeout=patience_s)
            break
        except Timeout:
            progress(Progress(status))
            patience_s = POLL_S
    try:
        yield
    finally:
        lock.release()
