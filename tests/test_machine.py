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


def memory_files(group: str, *, limit: str, used: int, idle: int = 0) -> dict[str, str]:
    return {
        f"{group}/memory.max": limit,
        f"{group}/memory.current": str(used),
        f"{group}/memory.stat": f"anon 5\ninactive_file {idle}\nactive_file 3",
    }


def test_a_control_group_limits_the_memory(tmp_path):
    files = {"proc/self/cgroup": "0::/job"} | memory_files("sys/fs/cgroup/job", limit="1000000", used=700000, idle=1000)
    found = machine.memory(root=tree(tmp_path, files))
    assert (found.limit, found.available) == (1000000, 301000)
    assert found.total == psutil.virtual_memory().total


def test_the_narrowest_control_group_limits_the_memory(tmp_path):
    files = {"proc/self/cgroup": "0::/a/b"}
    files |= memory_files("sys/fs/cgroup/a", limit="500000", used=499000)
    files |= memory_files("sys/fs/cgroup/a/b", limit="1000000", used=499000)
    found = machine.memory(root=tree(tmp_path, files))
    assert (found.limit, found.available) == (500000, 1000)


def test_an_older_control_group_limits_the_memory_too(tmp_path):
    folder = "sys/fs/cgroup/memory/job"
    files = {
        "proc/self/cgroup": "4:memory:/job\n0::/",
        f"{folder}/memory.limit_in_bytes": "2000000",
        f"{folder}/memory.usage_in_bytes": "500000",
        f"{folder}/memory.stat": "cache 9\ntotal_inactive_file 100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    found = machine.memory(root=tree(tmp_path, files))
    assert (found.limit, found.available) == (2000000, 1600000)


@pytest.mark.parametrize("limit", ["max", "", "nonsense", "9223372036854771712"])
def test_a_control_group_without_a_limit_limits_nothing(tmp_path, limit):
    files = {"proc/self/cgroup": "0::/job"} | memory_files("sys/fs/cgroup/job", limit=limit, used=7)
    found = machine.memory(root=tree(tmp_path, files))
    assert found.limit == 0
    assert found.available > 1000000


def test_more_in_use_than_allowed_leaves_nothing(tmp_path):
    files = {"proc/self/cgroup": "0::/"} | memory_files("sys/fs/cgroup", limit="1000", used=2000)
    assert machine.memory(root=tree(tmp_path, files)).available == 0


@pytest.mark.parametrize(
    ("files", "quota"),
    [({}, 0), (unified("/", root="max 100000"), 0), (unified("/a", root="400000 100000", a="150000 100000"), 1.5)],
)
def test_the_quota_of_processors_is_that_of_the_narrowest_control_group(tmp_path, files, quota):
    assert machine.cpu_quota(root=tree(tmp_path, files)) == quota
