"""Measure forwards (passes through the model) a second by the number of CPU threads.

    python benchmarks/threads.py [--package FOLDER] [--seconds 2] [--rounds 5] [--most N]

`--package` is a folder in the layout of ONNX Runtime GenAI. Without it, `photo-mini`'s own is used. Every number of
threads has a loaded model of its own. The models are measured in turns, and the median of the rounds is printed for
forwards of 1, 4 and 64 tokens. Row 0 is what the runtime chooses itself. The row marked `*` is olpipe's choice.

Start it under `taskset -c 0`, or in a control group with a quota, to see what the choice is worth there.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from olpipe import machine
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

WIDTHS = (1, 4, 64)
PROMPT_TOKENS = 128
TOKEN = 100


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--package", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=0, help="most threads; 0 takes twice the cores")
    arguments = parser.parse_args()
    chosen = machine.threads(machine.cores())
    package = arguments.package or photo_mini()
    runtime = import_runtime()
    counts = range((arguments.most or 2 * max(machine.cores(), 1)) + 1)
    models = {threads: load(runtime, package, threads) for threads in counts}
    rates: dict[tuple[int, int], list[float]] = {(threads, width): [] for threads in counts for width in WIDTHS}
    for _ in range(arguments.rounds):
        for threads, width in rates:
            rates[threads, width].append(forwards_a_second(runtime, models[threads], width, arguments.seconds))
    print(f"{package.name}: forwards a second, median of {arguments.rounds} rounds (slowest to fastest)")
    print("threads " + "".join(f"{f'{width} token(s)':>28}" for width in WIDTHS))
    for threads in counts:
        cells = []
        for width in WIDTHS:
            rate = rates[threads, width]
            cells.append(f"{statistics.median(rate):10.1f} ({min(rate):6.1f} to {max(rate):6.1f})")
        print(f"{threads:>5} {'*' if threads == chosen else ' '} " + "".join(f"{cell:>28}" for cell in cells))


def forwards_a_second(runtime: Any, model: Any, width: int, seconds: float) -> float:
    """Append `width` tokens again and again behind the same prompt."""
    sequence = GeneratorSequence(runtime, model, max_length=PROMPT_TOKENS + width)
    sequence.prefill(Prompt((TOKEN,) * PROMPT_TOKENS), 0)
    tokens = (TOKEN,) * width
    forwards, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        sequence.rewind(PROMPT_TOKENS)
        sequence.decode(tokens)
        forwards += 1
    return forwards / (time.perf_counter() - started)


def load(runtime: Any, package: Path, threads: int) -> Any:
    """Load a package; 0 leaves the number of threads to the runtime."""
    config = runtime.Config(str(package))
    if threads:
        config.overlay(f'{{"model": {{"decoder": {{"session_options": {{"intra_op_num_threads": {threads}}}}}}}}}')
    return runtime.Model(config)


def photo_mini() -> Path:
    """Return the package of photo-mini, built first where it is not there."""
    settings = Settings.read()
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    bundle = resolve("photo-mini", library, plugins, lambda progress: None)
    build(bundle, backend_for(bundle, plugins.backends), lambda progress: None)
    return package_folder(bundle)


if __name__ == "__main__":
    main()
