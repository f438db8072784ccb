"""What a process that decodes photos may use, and how the system is told so."""

from __future__ import annotations

import math
import mmap
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from olpipe import machine

SECONDS = 60.0
"""A photo of 200 megapixels takes a tenth of this on a slow machine."""

LEAST_BYTES, MOST_BYTES = 1 << 30, 4 << 30
"""Pillow needs up to 20 bytes for each of 200 million pixels."""

MEMORY_FAILED = 86
"""Exit code of a process that has used up its memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use for one photo.

    Attributes:
        seconds: How long it may take, by the clock.
        memory_bytes: How much memory it may use besides what it has when it starts.
    """

    seconds: float = SECONDS
    memory_bytes: int = MOST_BYTES

    @classmethod
    def usual(cls, processes: int) -> Limits:
        """Return the limits for so many processes side by side: they share the memory that is available."""
        share = machine.available_bytes() // max(1, processes)
        return cls(memory_bytes=min(max(share, LEAST_BYTES), MOST_BYTES))


def limit_memory(memory_bytes: int) -> None:
    """Let this process use only so much more memory than it has now, and leave no core file. POSIX only.

    Where memory runs out all the same, Linux ends this process before others.
    """
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _used_bytes() + memory_bytes
    with suppress(ValueError, OSError):  # macOS knows the limit, and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def start_clock(seconds: float) -> None:
    """Have the system end this process after so many seconds, whatever it is doing; 0 stops the clock. POSIX only.

    It needs neither the process that waits nor this one's interpreter: a loop in C that never ends is ended, too.
    """
    if sys.platform != "win32":
        import signal

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _used_bytes() -> int:
    """Return how much address space this process has taken."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return LEAST_BYTES
    return pages * mmap.PAGESIZE


def shown_seconds(seconds: float) -> str:
    """Return a limit as messages give it."""
    return f"{math.ceil(seconds)} second{'' if math.ceil(seconds) == 1 else 's'}"
