"""Measure how much more two workers of the executor `ray` describe than one.

    python benchmarks/ray_actors.py [--photos 200] [--seconds 0.2] [--repeats 3]

Needs the plugin `olpipe-ray`. It starts Ray on this machine with two CPUs. The photos are tiny, and the model is the
echo backend, in a process of its own, which sleeps so many seconds for each photo: so this measures what the executor
adds, and not how many cores the machine has. The rates are those between the first and the last tenth of the photos
that were described after all workers were ready. Both arms take turns; the figures are medians. It fails when two
workers do less than 0.9 times twice the work of one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from olpipe.describing.recipe import Recipe
from olpipe.image import ImageFile, ImageRef
from olpipe.model import ModelConfig, ModelName
from olpipe.pipeline.job import DescribeJob
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

RECIPE = Recipe(name="r", task="data", model="echo", prompt="What is this?", schema={"type": "object"})
SETTLED = 0.3, 0.9
"""The part of the photos between which time is taken: all workers are ready, and none has run out of photos."""
LEAST = 0.9


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        job = prepare(root, given.seconds)
        images = list(write_photos(root / "photos", given.photos))
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(given.repeats):
            for workers, found in rates.items():
                found.append(rate(job, images, workers))
                print(f"{workers} worker(s): {found[-1]:.2f} photos/s", flush=True)
        ray.shutdown()
    one, two = (statistics.median(found) for found in rates.values())
    print(f"median: one {one:.2f}, two {two:.2f} photos/s; two workers do {two / one:.2f} times the work of one")
    return int(two < LEAST * 2 * one)


def prepare(root: Path, seconds: float) -> DescribeJob:
    """Make a home with a sleeping model, and put the echo backend on the module path of all processes."""
    from olpipe_ray.cluster import QUIET

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    site = root / "site"
    site.mkdir()
    install_plugin(site, "echo", "olpipe.testing.echo")
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    settings = Settings(home=root / "home")
    library = Library(settings.models_folder, cache=settings.home / "cache")
    layer = replace(library.add_bytes(json.dumps({"delay_s": seconds}).encode()), name="echo.json")
    library.commit(ModelName.parse("echo"), ModelConfig("echo", capabilities=("completion", "vision")), [layer])
    return DescribeJob(RECIPE, settings)


def write_photos(folder: Path, number: int) -> Iterator[ImageFile]:
    """Write photos that differ in their bytes only."""
    folder.mkdir()
    for index in range(number):
        name = f"{index:05}.jpg"
        data = photo() + name.encode()
        (folder / name).write_bytes(data)
        yield ImageFile(ImageRef(folder / name, name, len(data), 0), hashlib.sha256(data).hexdigest())


def rate(job: DescribeJob, images: list[ImageFile], workers: int) -> float:
    """Return how many photos a second so many workers describe."""
    from olpipe_ray.executor import RayExecutor

    os.environ["OLPIPE_RAY_ACTORS"] = str(workers)
    times = [time.perf_counter() for _ in RayExecutor().map(job, images)]
    first, last = (int(len(times) * part) for part in SETTLED)
    return (last - first) / (times[last] - times[first])


if __name__ == "__main__":
    sys.exit(main())
