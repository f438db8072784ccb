"""Wait for a lock that another process holds, so that whoever waits can stop waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from olpipe.interfaces import Progress, ProgressCallback

POLL_S = 0.2
"""How often somebody who waits says so: that is when the waiting can be cancelled."""


@contextmanager
def held(lock: FileLock, status: str, progress: ProgressCallback) -> Iterator[None]:
    """Hold a lock while a block runs.

    Args:
        lock: The lock.
        status: What to tell `progress` while another process has it.
        progress: Told again and again while it is waited for. What it raises ends the waiting.
    """
    patience_s = 0.0  # the first try says at once that there is something to wait for
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
