"""Measure what it costs to look into watched folders while nothing changes, and when something has changed.

    python benchmarks/watching.py [--photos 100000]

It makes empty files called like photos, 200 in each folder, in a temporary folder. It prints the processor's time of a
search for photos, and of a glance that finds nothing changed: the medians of five.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from olpipe.imaging.watched import WatchedFolders

EACH_FOLDER = 200
REPEATS = 5


def main() -> int:
    """Make the files, look, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000, help="how many photos there are")
    number = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(number):
            path = root / f"{index // EACH_FOLDER:05}" / f"{index % EACH_FOLDER:03}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.touch()
        watched = WatchedFolders([folder], {".jpg"}, leave_out=root / "out")
        watched.look()

        def search() -> None:
            os.utime(root / "00000" / "000.jpg", ns=(time.time_ns(), time.time_ns()))
            watched.look()

        searches, glances = _seconds(search), _seconds(watched.look)
    sys.stdout.write(f"{number} photos: {searches:.2f} s to search, {glances:.2f} s to see that nothing has changed\n")
    return 0


def _seconds(act: Callable[[], object]) -> float:
    """Return how much of the processor's time something takes, the median."""
    taken = []
    for _ in range(REPEATS):
        started_s = time.process_time()
        act()
        taken.append(time.process_time() - started_s)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
