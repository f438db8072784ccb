"""Measure how many documents a second come out: one after the other, and several sequences side by side.

    python benchmarks/batching.py FOLDER [--repeats 5] [--slots 1,2,4,8]

FOLDER holds photos. First it prints what forwards (passes through the model) cost. Then it compares two runners in this
process: the runner of one sequence at a time, and the runner that answers several requests at a time. Both are asked
what `olpipe batch` asks of the photos, with the recipe `photo-tags` and its model. The evidence is found once,
beforehand. Last comes the whole way of a photo, from its bytes to its record, with the model in a process of its own:
one request at a time, and as many as there are slots. All arms take turns. Figures are medians, and ratios are formed
turn by turn. It fails when a document of the second runner depends on how many others are at work. The first runner is
another backend: on processors that round products of a single row otherwise, some of its documents differ.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from olpipe import machine
from olpipe.default_plugins.executors.local import LocalExecutor
from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.runner import BatchedRunner
from olpipe.default_plugins.ort_genai.runner import TextRunner
from olpipe.describing.recipe_file import read_recipe
from olpipe.engine.manager import Engine
from olpipe.generation import Chunk, Completion, GenerateRequest
from olpipe.image import ImageFile, ImageRef
from olpipe.imaging.decode import decode
from olpipe.interfaces import Runner
from olpipe.model import LoadOptions
from olpipe.perception.ground import Grounder
from olpipe.pipeline.job import DescribeJob
from olpipe.plugins import Plugins
from olpipe.record import Record
from olpipe.sessions import open_session
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

RECIPE = "photo-tags"
WIDTHS = (1, 2, 3, 4, 6, 8, 16)
CONTEXT = 80
Documents = list[str]


def main() -> int:
    """Print the table; fail when a document differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slots", default="1,2,4,8")
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.folder.iterdir() if path.suffix == ".jpg")
    settings = Settings.read()
    plugins = Plugins.load(settings)
    bundle = resolve(read_recipe(RECIPE).model, library(settings), plugins, lambda progress: None)
    build(bundle, backend_for(bundle, plugins.backends), lambda progress: None)
    started = time.perf_counter()
    grounder = Grounder(bundle, plugins.perceivers)
    requests = [ask(path, plugins, grounder) for path in photos]
    seconds = (time.perf_counter() - started) / len(photos)
    threads = machine.threads(machine.cores())
    print(f"{len(photos)} photos, {threads} threads; decoding one and finding the evidence: {1e3 * seconds:.0f} ms")

    package, options = package_folder(bundle), LoadOptions(threads=threads)
    print_forwards(package, threads)
    single, batched = (kind(package, bundle, options) for kind in (TextRunner, BatchedRunner))
    arms: dict[str, Callable[[], Documents]] = {"one sequence at a time": partial(drive, single, requests, 1)}
    for slots in map(int, arguments.slots.split(",")):
        arms[f"batched, {slots} at a time"] = partial(drive, batched, requests, slots)
    differ = compare("The model alone", arms, arguments.repeats, drive(batched, requests, 1))
    del differ[next(iter(arms))]  # another backend
    single.close()
    batched.close()

    with Engine(library(settings), plugins, settings) as engine:
        whole = {
            "one request at a time": partial(batch, photos, plugins, settings, OneAtATime(engine)),
            "as many as there are slots": partial(batch, photos, plugins, settings, engine),
        }
        differ |= compare("The whole way, evidence included", whole, arguments.repeats)
    return 1 if any(differ.values()) else 0


def print_forwards(package: Path, threads: int) -> None:
    """Print what a forward over one token of several rows costs, and one over as many tokens of a single row."""
    cache = Cache(open_session(package / "model.onnx", threads=threads), rows=WIDTHS[-1], length=512)
    print(f"\nMilliseconds of a forward, {CONTEXT} tokens before it\n| | {' | '.join(map(str, WIDTHS))} |")
    print("|---" * (len(WIDTHS) + 1) + "|")
    shapes = {"rows, a token of each": [(width, 1) for width in WIDTHS], "tokens of one row": [(1, n) for n in WIDTHS]}
    for name, row in shapes.items():
        times = {shape: [milliseconds(cache, shape) for _ in range(15)] for shape in row}
        print(f"| {name} | {' | '.join(f'{statistics.median(times[shape]):.1f}' for shape in row)} |")


def milliseconds(cache: Cache, shape: tuple[int, int]) -> float:
    """Return the time of one forward over so many rows and tokens of each."""
    started = time.perf_counter()
    cache.run(np.full(shape, 100, np.int64), [CONTEXT] * shape[0], further={})
    return 1e3 * (time.perf_counter() - started)


def compare(
    title: str, arms: Mapping[str, Callable[[], Documents]], repeats: int, expected: Documents | None = None
) -> dict[str, int]:
    """Run the arms in turns after one turn that does not count, and print a row for each.

    Args:
        title: Stands above the table.
        arms: What is compared. Ratios are to the first.
        repeats: Turns that count.
        expected: The documents that should come out; None takes those of the first arm.

    Returns:
        How many documents differ, by arm.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    documents: dict[str, Documents] = {}
    for turn in range(repeats + 1):
        for name, arm in arms.items():
            started = time.perf_counter()
            documents[name] = arm()
            if turn:
                times[name].append(time.perf_counter() - started)
    first = next(iter(arms))
    expected = expected or documents[first]
    print(f"\n{title}\n| | documents a second (slowest to fastest turn) | ratio | documents that differ |")
    print("|---|---|---|---|")
    differ = {}
    for name, found in times.items():
        rates = sorted(len(documents[name]) / seconds for seconds in found)
        ratio = statistics.median(base / seconds for base, seconds in zip(times[first], found, strict=True))
        differ[name] = sum(one != other for one, other in zip(expected, documents[name], strict=True))
        spread = f"{statistics.median(rates):.2f} ({rates[0]:.2f} to {rates[-1]:.2f})"
        print(f"| {name} | {spread} | {ratio:.2f} | {differ[name]} of {len(expected)} |")
    return differ


def drive(runner: Runner, requests: list[GenerateRequest], at_once: int) -> Documents:
    """Answer all requests, so many at a time, as the engine's worker does."""
    texts, waiting, running = [""] * len(requests), list(enumerate(requests)), 0
    while waiting or running:
        while waiting and running < at_once:
            number, request = waiting.pop(0)
            runner.start(number, runner.prepare(request))
            running += 1
        for number, chunk in runner.step():
            assert isinstance(chunk, Chunk), chunk
            texts[number] += chunk.text
            running -= chunk.finish_reason is not None
    return texts


def ask(path: Path, plugins: Plugins, grounder: Grounder) -> GenerateRequest:
    """Return what a batch asks of one photo."""
    recipe = read_recipe(RECIPE)
    image = decode(path.read_bytes(), path.suffix, plugins.image_loaders)
    request = plugins.tasks.get(recipe.task).build(image, recipe.context())
    return grounder.ground(request).request


class OneAtATime:
    """An engine that takes a request only when it has answered the one before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: GenerateRequest, **options: Any) -> OneAtATime.Answered:
        with self._lock:
            return self.Answered(self._engine.submit(request, **options).completion())

    class Answered:
        """A stream whose end is known."""

        def __init__(self, completion: Completion) -> None:
            self._completion = completion

        def completion(self) -> Completion:
            return self._completion


def batch(photos: list[Path], plugins: Plugins, settings: Settings, engine: Any) -> Documents:
    """Carry photos from their bytes to their records, as a batch does that has not seen them before."""
    documents = []
    with tempfile.TemporaryDirectory() as home:  # evidence is kept in the home folder: here it is found anew
        job = DescribeJob(read_recipe(RECIPE), replace(settings, home=Path(home)), plugins=plugins, engine=engine)
        for outcome in LocalExecutor().map(job, images(photos)):
            assert isinstance(outcome, Record), outcome
            documents.append(str(outcome.values))
    return documents


def images(photos: list[Path]) -> Iterator[ImageFile]:
    for path in photos:
        data = path.read_bytes()
        ref = ImageRef(path, path.name, len(data), path.stat().st_mtime_ns)
        yield ImageFile(ref, hashlib.sha256(data).hexdigest(), data)


def library(settings: Settings) -> Library:
    return Library(settings.models_folder, cache=settings.home / "cache")


if __name__ == "__main__":
    sys.exit(main())
