"""What this machine lets a process use: cores and memory. Cores and limits are known on Linux only."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
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


def cpu_quota(*, root: Path = Path("/")) -> float:
    """Return how many processors the control groups of this process allow it; 0 where they set no limit.

    Args:
        root: Where `/proc` and `/sys` are.
    """
    return min(_quotas(root), default=0.0)


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


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a machine, in bytes.

    Attributes:
        total: What the machine has.
        available: What this process can take without swapping.
        limit: What the control groups of this process allow all their processes together; 0 where they set no limit.
    """

    total: int
    available: int
    limit: int = 0


def memory(*, root: Path = Path("/")) -> Memory:
    """Return how much memory there is, and how much of it can be taken.

    Args:
        root: Where `/proc` and `/sys` are.
    """
    import psutil

    found = psutil.virtual_memory()
    limits = [(limit, used) for limit, used in _memory_limits(root) if limit < found.total]
    left = [max(0, limit - used) for limit, used in limits]
    return Memory(int(found.total), min([int(found.available), *left]), min((limit for limit, _ in limits), default=0))


def available_bytes() -> int:
    """Return how much memory can be taken without swapping, and within the limits of control groups."""
    return memory().available


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group above this process, and what of it is in use.

    The pages of files that nobody has used for some time are given back when memory is needed, so they do not count.
    """
    for folder, is_unified in _groups(root, "memory"):
        limit, used, idle = (
            ("memory.max", "memory.current", "inactive_file")
            if is_unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        text = _text(folder / limit)
        if text.isdecimal():
            counted = _text(folder / used)
            lines = [line.split() for line in _text(folder / "memory.stat").splitlines()]
            kept = next((int(line[1]) for line in lines if line[:1] == [idle] and line[-1].isdecimal()), 0)
            yield int(text), max(0, (int(counted) if counted.isdecimal() else 0) - kept)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU limit of each control group above this process, in processors; groups without one are left out."""
    for folder, is_unified in _groups(root, "cpu"):
        quota, period = _unified_quota(folder) if is_unified else _quota(folder)
        if quota > 0 and period > 0:
            yield quota / period


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of each control group above this process, and whether it is one of cgroup v2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            yield folder, not controllers
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
