"""Measure how long `olpipe search --in` takes, and how much memory.

    python benchmarks/search.py 100000 [--words cat zebra 火车]

It makes an output folder with the ledger of so many photos, whose records are made up: tags, texts, boxes and words
that were read, about 1.5 kB each, half of them in ASCII alone. Then it runs the command for each word in a process of
its own, and prints seconds on the clock, seconds of computing, and the most memory. It does not run on Windows.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from olpipe.generation import Usage
from olpipe.image import Box, ImageRef
from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import FAILURE, Ledger, TargetState
from olpipe.record import ImageInfo, ReadText, Record

KEY, FAILURES = "k", "jsonl:failures.jsonl"
NAMES = "cat dog person bus street sofa lamp tower garden kitchen bottle cup train horse cow sheep tie clock book"
MORE_NAMES = "猫 狗 街道 厨房 花园 火车 Straße Café Übergang"
ASCII = NAMES.split()
OTHERS = [*ASCII, *MORE_NAMES.split()]


def main(arguments: list[str]) -> int:
    """Make the records, and search them."""
    parser = argparse.ArgumentParser(description="Measure `olpipe search --in`")
    parser.add_argument("photos", type=int)
    parser.add_argument("--words", nargs="+", default=["zebra", "cat", "cat kitchen", "火车"])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        write_ledger(Path(folder), options.photos)
        for words in options.words:
            print(f"{words!r}: {measured(words.split(), folder)}", flush=True)
    return 0


def write_ledger(output: Path, count: int) -> None:
    """Write what a batch of so many photos leaves."""
    chance = random.Random(7)
    with Ledger(output) as ledger:
        ledger.run("PRAGMA synchronous = OFF")
        ledger.begin(KEY, {FAILURES: FAILURE})
        remember_run(ledger, RunInfo(output, output, {}, "photo-tags", KEY, "m:latest", "sha256:0"))
        for number in range(count):
            record = made_up(number, chance)
            ledger.commit(record, [ImageRef(output / record.file, record.file, 1, 1)])
        ledger.advance(FAILURES, TargetState(count, 1))


def made_up(number: int, chance: random.Random) -> Record:
    """Return a record of random words."""
    words = OTHERS if number % 2 else ASCII
    tags = chance.sample(words, 6)
    values = {
        "tags": tags,
        "tag_scores": [0.9] * len(tags),
        "title": f"A {tags[0]} with a {tags[1]}",
        "description": f"A {' and a '.join(chance.choices(words, k=12))}.",
        "alt": f"A {', '.join(chance.choices(words, k=8))}.",
        "objects": [
            {"x": 10, "y": 20, "w": 300, "h": 400, "type": tag, "tags": [chance.choice(words)], "score": 0.87}
            for tag in tags[:5]
        ],
    }
    read = (ReadText(" ".join(chance.choices(words, k=4)).upper(), 0.93, Box(1, 2, 30, 40)) for _ in range(4))
    info = ImageInfo(4000, 3000, 1, "JPEG")
    name = f"2026/{number % 365:03}/IMG_{number:06}.jpg"
    return Record(
        name, f"{number:064x}", info, values, "m:latest", "sha256:0", "photo-tags", Usage(), False, texts=tuple(read)
    )


def measured(words: list[str], output: str) -> str:
    """Run the command, and return what it took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "olpipe", "search", *words, "--in", output]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    memory_mb = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    computed = used.ru_utime + used.ru_stime
    seconds = time.monotonic() - started
    return f"{seconds:.1f} s, {computed:.1f} s of computing, {memory_mb:.0f} MB, exit code {process.returncode}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
