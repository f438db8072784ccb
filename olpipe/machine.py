"""What this machine lets a process use: cores and memory. Cores are known on Linux only."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

SMALL = 2
"""A machine with this many cores, or with fewer, has none to spare."""


def cores(*, root: Path = Path("/"), cpus: Collection[int] | None = None) -> int:
    """Return how many physical cores this process may keep busy; 0 when that is unknown.

    These are the cores that its CPU affinity allows, at most as many as the quota of its control group, rounded down.
    Two processors that share a core count once.

    Args:
        root: Where `/proc` and `/sys` are.
        cpus: The processors that its CPU affinity allows; None asks the system.
    """
    if cpus is None:
        if not hasattr(os, "sched_getaffinity"):
            return 0
        cpus = os.sched_getaffinity(0)
    topology = root / "sys/devices/system/cpu"
    siblings = {_text(topology / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in cpus}
    return max(1, int(min([len(siblings), *_quotas(root)])))


def threads(available: int) -> int:
    """Return how many threads a model's forwards get; 0 leaves it to the runtime.

    A model gets all cores of a small machine, and all but one core of a larger machine. The threads of a forward wait
    for each other: one thread that shares its core with perceivers, or with the decoding of photos, delays all of
    them. On two cores that delay costs less than the second core gains.

    Args:
        available: Cores that the process may keep busy, as `cores` counts them.
    """
    return available if available <= SMALL else available - 1


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a process takes, or None where that cannot be read: it has ended, or is not ours."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def available_bytes() -> int:
    """Return how much memory can be taken without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU limit of each control group above this process, in processors; groups without one are left out."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            quota, period = _quota(folder) if controllers else _unified_quota(folder)
            if quota > 0 and period > 0:
                yield quota / period
            if folder == top:
                break


def _unified_quota(folder: Path) -> tuple[int, int]:
    """Return quota and period of a group of cgroup v2: `150000 100000`, or `max 100000`."""
    return _pair(_text(folder / "cpu.max"))


def _quota(folder: Path) -> tuple[int, int]:
    """Return quota and period of a group of cgroup v1; a quota of -1 means that there is no limit."""
    return _pair(f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}")


def _pair(text: str) -> tuple[int, int]:
    numbers = [int(part) for part in text.split() if part.lstrip("-").isdigit()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def _text(path: Path) -> str:
    """Return a file's text, or nothing where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
