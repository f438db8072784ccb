"""Measure what a quantised KV cache costs and what it saves: loss, agreement, memory and time.

    python benchmarks/cache_types.py [--model photo-mini] [--text FILE] [--threads 1]

The model reads a text, `docs/conversion.md` by default. For the tokens behind the first 64 and behind the first 1700,
it prints how many nats a token the loss grows, how often the likeliest token is that of the full cache, and the
divergence of the two distributions. Then it prints the memory of keys and values for 1000 tokens, and the median time
of a token at 512 and at 4096 past tokens.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.cache_types import open_decoder
from olpipe.default_plugins.packages import TextPackage
from olpipe.model import LoadOptions
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.settings.table import CACHE_TYPES
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

Floats = npt.NDArray[np.float32]

TEXT = Path(__file__).parents[1] / "docs" / "conversion.md"
PLACES = (64, 1700)
SCORED = 240
"""So many tokens are predicted behind each place."""

PASTS = (512, 4096)
TIMED = 40


def main() -> None:
    """Print two tables, with a row for each type of the cache."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="photo-mini")
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    settings = Settings.read()
    plugins, library = Plugins.load(settings), Library(settings.models_folder, cache=settings.home / "cache")
    bundle = resolve(arguments.model, library, plugins, lambda _: None)
    build(bundle, backend_for(bundle, plugins.backends, "onnx"), lambda _: None)
    files = TextPackage.read(package_folder(bundle), bundle)
    vocabulary = files.vocabulary()
    tokens = vocabulary.encode(vocabulary.quote(arguments.text.read_text(encoding="utf-8")))
    sessions = {}
    for name in CACHE_TYPES:
        options = LoadOptions(threads=arguments.threads, cache_type=name)
        graph = files.folder / files.decoder
        sessions[name], reason = open_decoder(graph, options, vocabulary, context_length=files.context_length)
        if reason:
            raise SystemExit(f"{name}: {reason}")
    print(f"{arguments.threads} threads, {len(tokens)} tokens of {arguments.text.name}\n")
    print_losses(sessions, tokens)
    print_costs(sessions, tokens[0])


def print_losses(sessions: dict[str, Any], tokens: list[int]) -> None:
    """Print how far each type is from the full cache, at each place of the text."""
    print("| cache | behind | nats more | same likeliest token | divergence |\n|---|---|---|---|---|")
    for place in PLACES:
        scored = tokens[: place + SCORED]
        full = logarithms(sessions[CACHE_TYPES[0]], scored, place)
        for name in CACHE_TYPES[1:]:
            found = logarithms(sessions[name], scored, place)
            following = (np.arange(SCORED), scored[place:])
            more = (full[following] - found[following]).mean()
            agreed = (full.argmax(axis=-1) == found.argmax(axis=-1)).mean()
            divergence = (np.exp(full) * (full - found)).sum(axis=-1).mean()
            print(f"| `{name}` | {place} | {more:+.3f} | {agreed:.1%} | {divergence:.3f} |", flush=True)


def logarithms(session: Any, tokens: list[int], place: int) -> Floats:
    """Return the logarithms of the probabilities of each token behind a place, (tokens, vocab_size)."""
    cache = Cache(session, rows=1, length=len(tokens))
    rows = []
    for start, end in [(0, place), *((at, at + 1) for at in range(place, len(tokens) - 1))]:
        cache.run(np.array([tokens[start:end]], np.int64), [start], further={})
        rows.append(cache.logits(0))
    logits = np.array(rows)
    logits -= logits.max(axis=-1, keepdims=True)
    found: Floats = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return found


def print_costs(sessions: dict[str, Any], token: int) -> None:
    """Print memory, and the time of a token. The types take turns, so that other work meets all of them alike."""
    heads = "".join(f" ms a token at {past} |" for past in PASTS)
    print(f"\n| cache | MiB for 1000 tokens |{heads}\n|---|---|{'---|' * len(PASTS)}")
    caches = {name: Cache(session, rows=1, length=max(PASTS) + 1) for name, session in sessions.items()}
    times: dict[tuple[str, int], list[float]] = {(name, past): [] for name in sessions for past in PASTS}
    for _ in range(TIMED):
        for (name, past), spent in times.items():
            started = time.perf_counter()
            caches[name].run(np.array([[token]], np.int64), [past], further={})
            spent.append(time.perf_counter() - started)
    for name, cache in caches.items():
        columns = "".join(f" {1000 * statistics.median(times[name, past]):.1f} |" for past in PASTS)
        print(f"| `{name}` | {cache.size_bytes / cache.length * 1000 / (1 << 20):.1f} |{columns}")


if __name__ == "__main__":
    main()
