"""Measure what `--sandbox` and `--near` cost beside the decoding of photos, and the lookups among many sketches.

    python benchmarks/same_pictures.py

Photos of 12 megapixels are made from the samples. The ways of decoding them take turns, so that a busy moment of the
machine affects all of them. The ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from olpipe import machine
from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.imaging.decode import decode
from olpipe.imaging.likeness import SKETCH_PIXELS, Sketch, picture_digest, sketch
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.interfaces import ImageLoader
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.near import Look, Near
from olpipe.plugins import Plugins
from olpipe.record import ImageInfo
from olpipe.settings import Settings

SAMPLES = Path(__file__).parents[1] / "samples/photos"
SIZE = (4000, 3000)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=7, help="how often each way of decoding takes its turn")
    parser.add_argument("--sketches", type=int, default=100_000, help="how many photos are looked up")
    given = parser.parse_args()
    files = list(_photos())
    settings = Settings.read()
    loaders = Plugins.load(settings).image_loaders
    with Sandbox(settings) as sandbox, ThreadPoolExecutor(machine.cores()) as pool:
        list(pool.map(lambda data: _decoded(data, sandbox.loaders(loaders)), [_tiny()] * 8))
    starting = _cpu(resource.RUSAGE_CHILDREN)
    with Sandbox(settings) as sandbox:
        boxed = sandbox.loaders(loaders)
        ways: dict[str, Callable[[bytes], object]] = {
            "decoded": lambda data: _decoded(data, loaders),
            "in a sandbox": lambda data: _decoded(data, boxed),
            "decoded, and a digest": lambda data: picture_digest(_decoded(data, loaders)),
            "only a sketch": lambda data: sketch(_decoded(data, loaders, SKETCH_PIXELS)),
        }
        times, cpu = _measured(ways, files, given.turns)
    cpu["in a sandbox"] += _cpu(resource.RUSAGE_CHILDREN) - 2 * starting
    for name, rates in times.items():
        ratio = statistics.median(rate / plain for rate, plain in zip(rates, times["decoded"], strict=True))
        rate, work = statistics.median(rates), cpu[name] / cpu["decoded"]
        print(f"{name:<24} {rate:6.2f} photos/s   {ratio:.2f} of plain decoding, with {work:.2f} of its CPU time")
    lookups = _lookups(given.sketches)
    print(f"{given.sketches} photos looked up among those before them: {lookups:.1f} CPU seconds")
    return 0


def _photos() -> Iterable[bytes]:
    for path in sorted(SAMPLES.glob("*.jpg")):
        file = io.BytesIO()
        Image.open(path).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        yield file.getvalue()


def _decoded(data: bytes, loaders: Iterable[ImageLoader], pixels: int = USUAL_PIXELS) -> DecodedImage:
    return decode(data, ".jpg", loaders, sizes=(pixels,))


def _tiny() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return file.getvalue()


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _measured(
    ways: dict[str, Callable[[bytes], object]], files: Sequence[bytes], turns: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return how many photos a second each way does, for each turn, and the CPU seconds that this process spends on it.

    The first turn is not counted in the rates.
    """
    cpu: dict[str, float] = dict.fromkeys(ways, 0.0)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(machine.cores()) as pool:
        for turn in range(-1, turns):
            for name, way in ways.items():
                started, before = time.perf_counter(), _cpu(resource.RUSAGE_SELF)
                list(pool.map(way, files))
                cpu[name] += _cpu(resource.RUSAGE_SELF) - before
                if turn >= 0:
                    rates[name].append(len(files) / (time.perf_counter() - started))
    return rates, cpu


def _lookups(count: int) -> float:
    """Return how many CPU seconds it takes to look so many photos up, each among all before it."""
    seconds, chance = 0.0, random.Random(1)
    info = ImageInfo(4000, 3000, 1, "JPEG")
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger, ledger.transaction():
        near = Near(ledger, 4)
        for number in range(count):
            look = Look(Sketch(chance.getrandbits(64), 4000, 3000, bytes(32)), "", info)
            started = time.process_time()
            near.match(look)
            seconds += time.process_time() - started
            near.lead(str(number), look)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
