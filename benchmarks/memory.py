"""Measure whether memory stays flat over many requests.

    python benchmarks/memory.py [--model tiny|NAME] [--requests 1000] [--max-tokens 48] [--bar 10]

Through the engine, it asks a model in a process of its own for one guided document after the other. Prompts, evidence
and budgets differ. Every tenth answer is free text, and every fiftieth is cancelled. It prints the resident memory of
the model's process and of this process along the way, and the slope after the first hundred requests. (The slope is
Theil-Sen's: the median of all slopes between two samples, so that one step up or down does not decide.) It fails when
the slope is over the bar.

`tiny` is a random model of two layers, which is made on the spot. A NAME is one that `olpipe list` shows.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from olpipe import machine
from olpipe.engine.manager import Engine
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.messages import Message, TextPart
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.testing.models import build_tiny_package

PROMPT = "Describe the photo as JSON."
THINGS = ("dog", "cat", "bench", "bus", "person", "kite", "umbrella", "toilet", "banana", "clock")
SCHEMA = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}},
        **{name: {"type": "string", "minLength": 1, "maxLength": 60} for name in ("title", "description", "alt")},
    },
    "required": ["tags", "title", "description", "alt"],
    "additionalProperties": False,
}
WARM_UP = 100
FOR_EVER = -1.0
EVERY = 10


def main() -> int:
    """Print the samples and both slopes; fail over the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--bar", type=float, default=10.0, help="KB a request")
    arguments = parser.parse_args()
    if machine.resident_bytes(os.getpid()) is None:
        print("this system does not tell how much memory a process takes")
        return 2
    with loaded(arguments.model) as engine:
        samples = list(measure(engine, arguments.model, arguments.requests, arguments.max_tokens))
    slopes = [slope([(at, sizes[part]) for at, *sizes in samples if at >= WARM_UP]) for part in (0, 1)]
    print(f"{arguments.model}, {arguments.requests} requests; slope after the first {WARM_UP}: ", end="")
    print(f"model's process {slopes[0]:.2f} KB a request, this process {slopes[1]:.2f}; bar {arguments.bar:g}")
    return 0 if max(slopes) <= arguments.bar else 1


def measure(engine: Engine, model: str, requests: int, max_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Ask, and yield (requests so far, bytes of the model's process, bytes of this one)."""
    generator = random.Random(0)
    engine.load(model, keep_alive_s=FOR_EVER).result()
    for number in range(1, requests + 1):
        stream = engine.submit(request(model, number, max_tokens, generator))
        if number % 50 == 0:
            next(iter(stream))
            stream.cancel()
        else:
            stream.completion()
        if number % EVERY == 0:
            gc.collect()
            (loaded_model,) = engine.loaded()
            sizes = [loaded_model.size_bytes, machine.resident_bytes(os.getpid()) or 0]
            if number % (10 * EVERY) == 0:
                print(
                    f"{number:>6} requests: {sizes[0] / 1e6:8.1f} MB, this process {sizes[1] / 1e6:8.1f} MB", flush=True
                )
            yield number, sizes[0], sizes[1]


def request(model: str, number: int, max_tokens: int, generator: random.Random) -> GenerateRequest:
    """Return a request as a batch makes it, or a free one."""
    seen = generator.sample(THINGS, generator.randint(1, 6))
    evidence = "photo: " + ", ".join(f"{thing} (left)" for thing in seen)
    message = Message("user", (TextPart(PROMPT), TextPart(evidence)))
    sampling = SamplingParams(max_tokens=generator.randint(max_tokens // 2, max_tokens), temperature=0.7, seed=number)
    guidance = Guidance("json_schema", json.dumps(SCHEMA), (("tags", json.dumps(seen, separators=(",", ":"))),))
    return GenerateRequest(model, (message,), sampling, None if number % 10 == 5 else guidance)


def slope(samples: list[tuple[int, int]]) -> float:
    """Return the Theil-Sen slope in KB a request."""
    pairs = itertools.combinations(samples, 2)
    return statistics.median((later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairs) / 1e3


@contextmanager
def loaded(model: str) -> Iterator[Engine]:
    """Give an engine that has the model."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder)) if model == "tiny" else Settings.read()
        # a process that is replaced would hide what it leaked
        settings = replace(settings, memory_limit=1 << 20)
        library = Library(settings.models_folder, cache=settings.home / "cache")
        if model == "tiny":
            add_tiny(library, Path(folder))
        with Engine(library, Plugins.load(settings), settings) as engine:
            yield engine


def add_tiny(library: Library, folder: Path) -> None:
    """Put a tiny model into a store."""
    package = build_tiny_package(folder / "package")
    layers = [replace(library.add_file(path), name=path.name) for path in sorted(package.iterdir())]
    library.commit(ModelName.parse("tiny"), ModelConfig(model_format="onnx"), layers)


if __name__ == "__main__":
    sys.exit(main())
