"""Measure `olpipe serve`: beside olpipe's engine without HTTP, and beside llama.cpp's server on the same GGUF file.

    python benchmarks/serve.py [--model photo-mini] [--llama-python PYTHON] [--repeats 5] [--threads 2] [--slots 8]

The model is a text model in GGUF. By default, it is that of `photo-mini` (SmolLM2, 135 million parameters) without its
adapter, because llama.cpp would not read the adapter. PYTHON is an interpreter with the package `xllamacpp`. Without
it, llama.cpp is not measured. The sides take turns. Figures are medians, and ratios are formed turn by turn.

*One client* asks for a text of 128 tokens, and every side writes the same number of tokens. *Clients* ask at the same
time, each over a new connection for every request. *Documents* follow a schema of tags, title, description and
objects. Each side writes until its document is complete, with at most 400 tokens, and jsonschema says whether it is
valid. Texts are sampled with temperature 0. Documents are sampled with temperature 0.7 and a seed of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import jsonschema
from serve_sides import Answer, Asked, InProcess, LlamaCpp, Olpipe, Server, Side, with_options
from vision_sides import library

from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.resolve import resolve

TEXT = Asked("Write a long story about a dog and a cat who live by the sea.", 128)
SHORT = replace(TEXT, max_tokens=16)
CONTEXT = 1024
VERSION_CALLS = 300
NAME = "benchmark-serve"

_TEXT = {"type": "string", "maxLength": 120}
SCHEMA = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 1, "maxItems": 6},
        "title": _TEXT,
        "description": _TEXT,
        "objects": {
            "type": "array",
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    **{side: {"type": "integer", "minimum": 0, "maximum": 1000} for side in "xywh"},
                    "type": {"type": "string", "maxLength": 20},
                },
                "required": [*"xywh", "type"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["tags", "title", "description", "objects"],
    "additionalProperties": False,
}
DOCUMENT = Asked(
    "A photo shows a dog on a beach beside a red ball. Describe it as JSON with tags, title, description and objects.",
    400, json.dumps(SCHEMA), 0.7,
)  # fmt: skip


def main() -> int:
    """Print the tables."""
    arguments = _arguments()
    settings = with_options(Settings.read(), slots=arguments.slots, threads=arguments.threads)
    gguf = add_model(arguments.model, settings)
    environment = {"OLLAMA_NUM_PARALLEL": str(arguments.slots), "OLPIPE_THREADS": str(arguments.threads)}
    with ExitStack() as stack:
        engine = stack.enter_context(InProcess(NAME, settings))
        server = stack.enter_context(Olpipe(NAME, settings, **environment))
        one_client([engine, server], arguments.repeats)
        clients(server, arguments.repeats)
        versions(server)
    if arguments.llama_python is None:
        print("without --llama-python PYTHON, llama.cpp is not measured", file=sys.stderr)
        return 0
    with ExitStack() as stack:
        sides: list[Side] = [
            stack.enter_context(Olpipe(NAME, settings, **environment)),
            stack.enter_context(
                LlamaCpp(
                    arguments.llama_python, gguf, slots=arguments.slots, context=CONTEXT, threads=arguments.threads
                )
            ),
        ]
        for count in (1, 8):
            compare("texts of 128 tokens", sides, TEXT, count, arguments.repeats)
            compare("documents", sides, DOCUMENT, count, arguments.repeats)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="photo-mini")
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8)
    return parser.parse_args()


def add_model(model: str, settings: Settings) -> Path:
    """Make a model of the GGUF file of another one, without its adapter, and return that file."""
    store = library(settings)
    bundle = resolve(model, store, Plugins.load(settings), lambda progress: None)
    gguf = next(path for path in sorted(bundle.path.iterdir()) if path.suffix == ".gguf")
    layer = replace(store.add_file(gguf.resolve()), name="model.gguf", media_type=MEDIA_TYPE + "model")
    store.commit(ModelName.parse(NAME), ModelConfig(model_format="gguf"), [layer])
    return gguf.resolve()


def one_client(sides: Sequence[Side], repeats: int) -> None:
    """Print what one client waits for."""
    found: dict[str, list[Answer]] = {side.name: [] for side in sides}
    for turn in range(repeats + 1):
        for side in sides:
            answer = side.ask(TEXT)
            if turn:  # the first turn warms up
                found[side.name].append(answer)
    print(f"\nOne client, a text of {TEXT.max_tokens} tokens; load of the machine {os.getloadavg()[0]:.1f}\n")
    print("| | first token, ms | tokens/s | ms a token |\n|---|---|---|---|")
    for name, answers in found.items():
        first = statistics.median(answer.first_s for answer in answers) * 1e3
        rate = statistics.median(answer.tokens / answer.seconds for answer in answers)
        print(f"| {name} | {first:.1f} | {rate:.1f} | {1e3 / rate:.2f} |")
    engine, server = found.values()
    ratio = statistics.median(one.seconds / other.seconds for one, other in zip(engine, server, strict=True))
    spent = statistics.median(
        (other.seconds - one.seconds) / other.tokens for one, other in zip(engine, server, strict=True)
    )
    print(f"\nthrough HTTP: {ratio:.3f} times the tokens/s of the engine (at least 0.95); {spent * 1e6:.0f} µs a token")


def clients(server: Server, repeats: int) -> None:
    """Print how many short requests are answered in a second."""
    print(f"\nClients at the same time, answers of {SHORT.max_tokens} tokens\n")
    print("| clients | requests/s | median, s | slowest, s |\n|---|---|---|---|")
    for count in (1, 8, 64):
        total = max(count * 2, 16)
        rates, spent = [], []
        for _ in range(min(repeats, 3)):
            started = time.perf_counter()
            answers = at_once(server, SHORT, count, total)
            rates.append(total / (time.perf_counter() - started))
            spent += [answer.seconds for answer in answers]
        print(f"| {count} | {statistics.median(rates):.2f} | {statistics.median(spent):.2f} | {max(spent):.2f} |")


def versions(server: Server) -> None:
    """Print how long /api/version takes, alone and while answers are written."""
    print("\nGET /api/version, a new connection each time\n\n| | median, ms | p99, ms |\n|---|---|---|")
    _print_versions("idle", [server.get("/api/version") for _ in range(VERSION_CALLS)])
    found: list[float] = []
    with busy(server, 8):
        time.sleep(1.0)
        found += [server.get("/api/version") for _ in range(VERSION_CALLS)]
    _print_versions("while 8 clients get answers (p99 at most 20)", found)


def _print_versions(name: str, seconds: Sequence[float]) -> None:
    ordered = sorted(seconds)
    p99 = ordered[int(0.99 * len(ordered))] * 1e3
    print(f"| {name} | {statistics.median(ordered) * 1e3:.2f} | {p99:.2f} |")


class busy:
    """Keep a server writing for some clients while a block runs."""

    def __init__(self, server: Server, count: int) -> None:
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            self._server.ask(TEXT)

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def compare(title: str, sides: Sequence[Side], asked: Asked, count: int, repeats: int) -> None:
    """Print how long the sides take for the same requests."""
    found: dict[str, list[tuple[float, list[Answer]]]] = {side.name: [] for side in sides}
    for turn in range(repeats + 1):
        for side in sides:
            started = time.perf_counter()
            answers = at_once(side, replace(asked, seed=turn * 1000 + 1), count, count)
            if turn:
                found[side.name].append((time.perf_counter() - started, answers))
    print(f"\n{count} client(s), {title}; load of the machine {os.getloadavg()[0]:.1f}\n")
    print("| | seconds | first token, ms | tokens an answer | valid |\n|---|---|---|---|---|")
    for name, turns in found.items():
        answers = [answer for _, some in turns for answer in some]
        first = statistics.median(answer.first_s for answer in answers) * 1e3
        tokens = statistics.mean(answer.tokens for answer in answers)
        valid = f"{sum(map(is_valid, answers))} of {len(answers)}" if asked.schema else "-"
        seconds = statistics.median(seconds for seconds, _ in turns)
        print(f"| {name} | {seconds:.2f} | {first:.0f} | {tokens:.0f} | {valid} |", flush=True)
    ours, theirs = found.values()
    ratio = statistics.median(one[0] / other[0] for one, other in zip(ours, theirs, strict=True))
    bar = " (at most 0.50)" if asked.schema else ""
    print(f"\nolpipe takes {ratio:.2f} of llama.cpp's time{bar}")


def at_once(side: Side, asked: Asked, count: int, total: int) -> list[Answer]:
    """Ask from `count` threads at the same time, `total` times in all."""
    ask: Callable[[int], Answer] = lambda number: side.ask(replace(asked, seed=asked.seed + number))  # noqa: E731
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(total)))


def is_valid(answer: Answer) -> bool:
    """Say whether an answer is a document of the schema."""
    try:
        jsonschema.validate(json.loads(answer.text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
