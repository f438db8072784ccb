"""Measure what `olpipe --help` costs beside `python -c 'import click'`, in whole processes.

    python benchmarks/startup.py

Each command is started once to warm the disk. Then they take turns, so that a busy moment of the machine affects both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

BAR = 2.0
COMMANDS = {
    "olpipe --help": [str(Path(sysconfig.get_path("scripts")) / "olpipe"), "--help"],
    "import click": [sys.executable, "-c", "import click"],
}


def main() -> int:
    """Print both medians and their ratio; fail when it is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="how often each is run")
    runs: int = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(-1, runs):
        for name, command in COMMANDS.items():
            seconds = _run(command)
            if turn >= 0:
                times[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<15} median of {runs}: {seconds * 1000:6.1f} ms   fastest: {min(times[name]) * 1000:6.1f} ms")
    ratio = medians["olpipe --help"] / medians["import click"]
    print(f"ratio {ratio:.2f}, bar {BAR:.1f}")
    return 0 if ratio <= BAR else 1


def _run(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
