"""Cores, as Linux tells of them (the trees of files are what kernels show), and memory, as every system does."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from olpipe import machine


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def siblings(*lists: str) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": text for cpu, text in enumerate(lists)}


def unified(path: str, **limits: str) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{path}"} | {
        f"sys/fs/cgroup/{folder.replace('_', '/')}/cpu.max".replace("root/", ""): text
        for folder, text in limits.items()
    }


@pytest.mark.parametrize(
    ("files", "cpus", "cores"),
    [
        ({}, {0, 1, 2}, 3),
        (siblings("0", "1"), {0, 1}, 2),
        (siblings("0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"), range(8), 4),
        (siblings("0-1", "0-1", "2-3", "2-3"), {1, 2, 3}, 2),
        (siblings("0-1", "0-1", "2-3", "2-3"), {3}, 1),
        (unified("/", root="max 100000"), range(8), 8),
        (unified("/", root="300000 100000"), range(8), 3),
        (unified("/", root="150000 100000"), range(8), 1),
        (unified("/", root="20000 100000"), range(8), 1),
        (unified("/", root="900000 100000"), range(4), 4),
        (unified("/a/b", a="200000 100000", a_b="max 100000"), range(8), 2),
        (unified("/a/b", a="600000 100000", a_b="500000 100000"), range(8), 5),
        (
            {
                "proc/self/cgroup": "4:memory:/m\n1:cpu:/job\n0::/",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            range(8),
            2,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            range(8),
            8,
        ),
        (unified("/", root="nonsense"), range(8), 8),
    ],
)
def test_cores_are_those_that_affinity_siblings_and_quota_leave(tmp_path, files, cpus, cores):
    assert machine.cores(root=tree(tmp_path, files), cpus=cpus) == cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells")
def test_this_process_may_use_a_core_at_least_and_no_more_than_it_has_processors():
    assert 1 <= machine.cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("available", "threads"), [(0, 0), (1, 1), (2, 2), (3, 2), (8, 7)])
def test_a_model_leaves_one_core_to_the_rest_where_there_are_more_than_two(available, threads):
    assert machine.threads(available) == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux tells")
def test_cores_that_this_process_may_not_use_do_not_count():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_process_that_takes_memory_is_seen_to():
    before = machine.resident_bytes(os.getpid())
    with mmap.mmap(-1, 64 << 20) as taken:  # pages of its own: what was freed before cannot serve
        for place in range(0, len(taken), mmap.PAGESIZE):
            taken[place] = 1
        grown = machine.resident_bytes(os.getpid()) - before
    assert 60 << 20 <= grown <= 80 << 20


def test_another_process_of_ours_is_measured_too_until_it_is_gone():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=pipe) as other:
        assert machine.resident_bytes(other.pid) > 0
        other.communicate(b"\n", timeout=60)
        assert machine.resident_bytes(other.pid) is None


def test_a_process_that_is_not_there_takes_nothing_known():
    assert machine.resident_bytes(2**30) is None


def test_the_memory_that_can_be_taken_is_no_more_than_the_machine_has():
    assert 0 < machine.available_bytes() <= psutil.virtual_memory().total
