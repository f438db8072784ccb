"""Measure how long one JSON document takes: free, under onnxruntime-genai's own guidance, and under ours.

    python benchmarks/decoding.py [--package FOLDER] [--repeats 20] [--gguf FILE]

*Replay* decodes one given document. Every arm emits the identical string, so only the way of decoding differs.
*Live* decodes until a document is valid, and counts the tries. The arms take turns, and figures are medians.

`--package` is a folder in the layout of ONNX Runtime GenAI. Without it, `photo-mini`'s own is used. `--gguf` adds
llama-cpp-python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from decoding_arms import Bench, LlamaCpp, NoForcing, Outcome, TwoForwards
from decoding_document import SCHEMA

from olpipe.decoding.constraint import Constraint
from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve


def mask_microseconds(bench: Bench) -> tuple[float, float]:
    """Return the median and 99th percentile of one mask over the document's sampled positions."""
    constraint = Constraint(bench.grammars.matcher(bench.guidance), bench.vocabulary, Outline())
    taken = len(constraint.take_forced())
    times: list[float] = []
    while not constraint.complete:
        started = time.perf_counter()
        constraint.bias()
        times.append((time.perf_counter() - started) * 1e6)
        constraint.consume(bench.document[taken])
        taken += 1 + len(constraint.take_forced())
    return statistics.median(times), float(np.percentile(times, 99))


def compile_milliseconds(bench: Bench) -> float:
    """Return the median time to compile the schema afresh."""
    times = []
    for _ in range(9):
        started = time.perf_counter()
        Grammars(bench.vocabulary.tokenizer).matcher(bench.guidance)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def interleave(arms: dict[str, Callable[[], Outcome]], repeats: int) -> dict[str, list[Outcome]]:
    """Run every arm in turn, `repeats` times, after one turn that does not count."""
    found: dict[str, list[Outcome]] = {name: [] for name in arms}
    for turn in range(repeats + 1):
        for name, arm in arms.items():
            outcome = arm()
            if turn:
                found[name].append(outcome)
    return found


def print_table(title: str, found: dict[str, list[Outcome]], against: Sequence[str]) -> None:
    """Print medians with their quartiles; the ratio is to the fastest of the arms `against`, repeat by repeat."""
    medians = {name: statistics.median(outcome.seconds for outcome in outcomes) for name, outcomes in found.items()}
    base = min(against, key=medians.__getitem__)
    print(f"\n{title}; ratio to «{base}»")
    columns = ("arm", "seconds (quartiles)", "ratio", "ms a token", "tokens", "forwards", "forwards a token")
    print(f"| {' | '.join((*columns, 'outside the model', 'valid'))} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, outcomes in found.items():
        low, _, high = statistics.quantiles([outcome.seconds for outcome in outcomes], n=4)
        ratio = statistics.median(
            outcome.seconds / other.seconds for outcome, other in zip(outcomes, found[base], strict=True)
        )
        last = outcomes[-1]
        outside = statistics.median(outcome.outside for outcome in outcomes)
        valid = sum(outcome.valid for outcome in outcomes)
        print(
            f"| {name} | {medians[name]:.3f} ({low:.3f}–{high:.3f}) | {ratio:.2f} "
            f"| {1e3 * medians[name] / last.tokens:.2f} | {last.tokens} | {last.forwards} "
            f"| {last.forwards / last.tokens:.2f} | {f'{outside:.1%}' if outside else '–'} "
            f"| {valid}/{len(outcomes)}{f', {last.attempts} tries' if last.attempts > 1 else ''} |"
        )


def photo_mini() -> Path:
    """Return the built package of `photo-mini`."""
    settings = Settings.read()
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    bundle = resolve("photo-mini", library, plugins, lambda _: None)
    build(bundle, backend_for(bundle, plugins.backends), lambda _: None)
    return package_folder(bundle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gguf", type=Path, help="the same weights for llama-cpp-python")
    options = parser.parse_args()
    package = options.package or photo_mini()
    bench = Bench(package, options.threads)
    guided = json.dumps(SCHEMA | {"x-guidance": {"whitespace_flexible": False}})
    replay = {
        "free, onnxruntime-genai's loop": bench.replay_native,
        "free, one append a token": bench.replay_single,
        "ours, no forcing": lambda: bench.replay(constraint=NoForcing),
        "ours, forced in two forwards": lambda: bench.replay(timed=TwoForwards),
        "ours, merged": lambda: bench.replay(lazy=False),
        "ours, merged and lazy": bench.replay,
    }
    live = {
        "free, onnxruntime-genai's loop": lambda: bench.live_native(None),
        "onnxruntime-genai's guidance": lambda: bench.live_native(guided),
        "onnxruntime-genai's guidance, forcing": lambda: bench.live_native(guided, forcing=True),
        "ours": bench.live,
    }
    if options.gguf:
        peer = LlamaCpp(options.gguf, options.threads)
        live["llama-cpp-python, free"] = lambda: peer.live(guided=False)
        live["llama-cpp-python, JSON schema"] = lambda: peer.live(guided=True)
    versions = {name: metadata.version(name) for name in ("onnxruntime-genai", "onnxruntime", "llguidance", "numpy")}
    print(f"{platform.machine()}, {options.threads} threads, Python {platform.python_version()}, {versions}")
    print(f"package: {package}")
    constraint = Constraint(bench.grammars.matcher(bench.guidance), bench.vocabulary, Outline())
    forced = len(constraint.take_forced())
    place = forced
    while not constraint.complete:
        constraint.consume(bench.document[place])
        run = len(constraint.take_forced())
        forced, place = forced + run, place + 1 + run
    print(f"document: {len(bench.document)} tokens, forced share {forced / len(bench.document):.1%}")
    print(f"mask: {'median {:.0f} µs, 99th percentile {:.0f} µs'.format(*mask_microseconds(bench))}")
    print(f"compile: {compile_milliseconds(bench):.2f} ms")
    print_table("Replay of one string", interleave(replay, options.repeats), list(replay)[:2])
    print_table("Live, until a valid document", interleave(live, max(5, options.repeats // 4)), ["ours"])


if __name__ == "__main__":
    main()
