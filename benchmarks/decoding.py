"""How long one JSON document takes: free, under onnxruntime-genai's own guidance, and under ours.

Replay decodes one given document: every arm emits the identical string, so only the engine differs.
Live decodes until a valid document, retries counted. Arms are interleaved; figures are medians.

    python benchmarks/decoding.py [--package FOLDER] [--repeats 20] [--gguf FILE]

`--package` is an ONNX Runtime GenAI folder; without it, `photo-mini`'s own. `--gguf` adds llama-cpp-python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logits_model import Logits
from olpipe.decoding.loop import decode
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.text import TextStream
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.backend import package_folder
from olpipe.default_plugins.ort_genai.logits import GeneratorLogits
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.generation import Guidance, SamplingParams
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

TAG = {"type": "string", "pattern": "^[a-z][a-z0-9 -]{0,22}[a-z0-9]$"}
TEXT = {"type": "string", "pattern": '^[A-Z0-9][^"\\\\\\x00-\\x1f]{0,398}[^"\\\\\\x00-\\x1f ]$'}
NUMBER = {"type": "integer", "minimum": 0, "maximum": 1000}


def objects_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


OBJECT = objects_of(
    dict.fromkeys("xywh", NUMBER) | {"type": TAG, "tags": {"type": "array", "items": TAG, "minItems": 1, "maxItems": 4}}
)
SCHEMA = objects_of(
    {
        "tags": {"type": "array", "items": TAG, "minItems": 1, "maxItems": 12},
        "description": TEXT,
        "title": TEXT,
        "alt": TEXT,
        "objects": {"type": "array", "items": OBJECT, "maxItems": 8},
    }
)


def place(x: int, y: int, w: int, h: int, kind: str, *tags: str) -> dict[str, Any]:
    return {"x": x, "y": y, "w": w, "h": h, "type": kind, "tags": list(tags)}


DOCUMENT = {
    "tags": ["dogs", "park", "ball", "grass", "outdoor", "play"],
    "description": "Two brown dogs chase a red ball across a green lawn in a city park while a wooden bench and a "
    "large tree stand behind them.",
    "title": "Two dogs playing in the park",
    "alt": "Two brown dogs running after a red ball on grass",
    "objects": [
        place(120, 340, 260, 210, "dog", "brown", "running"),
        place(430, 310, 240, 220, "dog", "brown"),
        place(610, 480, 60, 58, "ball", "red"),
    ],
}
PROMPT = "<|im_start|>user\nDescribe the photo as JSON.<|im_end|>\n<|im_start|>assistant\n"
LIVE_PROMPT = (
    "<|im_start|>user\nA photo shows two brown dogs playing with a red ball on green grass in a park. "
    "Write JSON with tags, description, title, alt and objects.<|im_end|>\n<|im_start|>assistant\n"
)
LIVE_BUDGET = 400
LIVE_ATTEMPTS = 3


class Timed:
    """A sequence that counts its forwards and adds up the time the model takes, logits fetched included."""

    def __init__(self, model: GeneratorLogits) -> None:
        self._model, self.limits = model, model.limits
        self.forwards, self.seconds, self.prefilled = 0, 0.0, 0.0

    def append(self, tokens: Sequence[int]) -> None:
        started = time.perf_counter()
        self._model.append(tokens)
        self.seconds += time.perf_counter() - started
        self.forwards += 1
        if self.forwards == 1:  # the prompt's: every arm pays it alike, so none is charged for it
            self.seconds, self.prefilled = 0.0, time.perf_counter()

    def logits(self) -> Logits:
        started = time.perf_counter()
        logits = self._model.logits()
        self.seconds += time.perf_counter() - started
        return logits

    def rewind(self, length: int) -> None:
        self._model.rewind(length)


class TwoForwards(Timed):
    """Runs forced tokens in a forward of their own."""

    def append(self, tokens: Sequence[int]) -> None:
        if self.forwards and len(tokens) > 1:
            super().append(tokens[:1])
            tokens = tokens[1:]
        super().append(tokens)


class NoForcing(Constraint):
    """Leaves every token to the model."""

    def take_forced(self) -> list[int]:
        return []


class Replay(Sampler):
    """Does a greedy sampler's work on the real logits, then picks the next token of a given text."""

    def __init__(self, tokens: Sequence[int], *, lazy: bool) -> None:
        super().__init__(SamplingParams())
        self._text, self._lazy = list(tokens), lazy
        self.place = 0

    def pick(self, logits: Logits, constraint: Constraint | None) -> int:
        token = self._text[self.place]
        int(logits.argmax())
        assert constraint is not None
        assert constraint.allows(token)
        if not self._lazy:
            logits += constraint.bias()
            int(logits.argmax())
        return token


@dataclass(frozen=True)
class Outcome:
    """One document by one arm. `outside` is the share of its time that the model did not take."""

    seconds: float
    tokens: int
    forwards: int
    outside: float = 0.0
    valid: bool = True
    attempts: int = 1


class Bench:
    """One model, loaded once for all arms."""

    def __init__(self, package: Path, threads: int) -> None:
        self.runtime = import_runtime()
        config = self.runtime.Config(str(package))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = self.runtime.Model(config)
        settings = json.loads((package / "genai_config.json").read_text())["model"]
        ends = settings["eos_token_id"]
        self.tokenizer_json = (package / "tokenizer.json").read_text()
        self.vocabulary = Vocabulary(
            self.tokenizer_json, size=settings["vocab_size"], end_tokens=ends if isinstance(ends, list) else [ends]
        )
        self.grammars = Grammars(self.vocabulary.tokenizer)
        self.guidance = Guidance("json_schema", json.dumps(SCHEMA))
        self.prompt = self.vocabulary.encode(PROMPT)
        self.live_prompt = self.vocabulary.encode(LIVE_PROMPT)
        self.document = self.vocabulary.encode(json.dumps(DOCUMENT, separators=(",", ":")))

    def sequence(self, prompt: Sequence[int], budget: int) -> GeneratorLogits:
        return GeneratorLogits(self.runtime, self.model, max_length=len(prompt) + budget + 64)

    def generator(self, prompt: Sequence[int], budget: int, guided: str | None = None, *, forcing: bool = False) -> Any:
        """Return onnxruntime-genai's own loop, prefilled."""
        params = self.runtime.GeneratorParams(self.model)
        # Room to spare: its forced runs are not checked against the end.
        params.set_search_options(max_length=len(prompt) + budget + 256, do_sample=False)
        if guided is not None:
            params.set_guidance("json_schema", guided, forcing)
        generator = self.runtime.Generator(self.model, params)
        generator.append_tokens(np.array(prompt, dtype=np.int32))
        return generator

    # --- replay ---

    def replay_native(self) -> Outcome:
        """Let onnxruntime-genai's loop make as many tokens as the document has."""
        generator = self.generator(self.prompt, len(self.document))
        started = time.perf_counter()
        for _ in self.document:
            generator.generate_next_token()
        return Outcome(time.perf_counter() - started, len(self.document), len(self.document))

    def replay_single(self) -> Outcome:
        """Append one token a forward, from Python."""
        model = Timed(self.sequence(self.prompt, len(self.document)))
        model.append(self.prompt)
        for token in self.document[:-1]:
            int(model.logits().argmax())
            model.append([token])
        int(model.logits().argmax())
        return self._outcome(model, len(self.document))

    def replay(
        self, *, lazy: bool = True, timed: type[Timed] = Timed, constraint: type[Constraint] = Constraint
    ) -> Outcome:
        """Decode the document with our loop."""
        model = timed(self.sequence(self.prompt, len(self.document)))
        sampler = Replay(self.document, lazy=lazy)
        runs = decode(
            model,
            self.prompt,
            vocabulary=self.vocabulary,
            sampler=sampler,
            max_tokens=10 * len(self.document),
            constraint=constraint(self.grammars.matcher(self.guidance), self.vocabulary, Outline()),
        )
        made: list[int] = []
        text = TextStream(self.vocabulary)
        for run in runs:
            made += run.tokens
            sampler.place = len(made)
            text.feed(run.tokens)
        assert made == self.document
        return self._outcome(model, len(made))

    # --- live ---

    def live(self) -> Outcome:
        """Decode a document of the model's own with our loop."""
        model = Timed(self.sequence(self.live_prompt, LIVE_BUDGET))
        runs = decode(
            model,
            self.live_prompt,
            vocabulary=self.vocabulary,
            sampler=Sampler(SamplingParams()),
            max_tokens=LIVE_BUDGET,
            constraint=Constraint(self.grammars.matcher(self.guidance), self.vocabulary, Outline()),
        )
        made = [token for run in runs for token in run.tokens]
        return replace(self._outcome(model, len(made)), valid=is_valid(self.vocabulary.bytes_of(made)))

    def live_native(self, guided: str | None, *, forcing: bool = False) -> Outcome:
        """Let onnxruntime-genai's own loop make documents until one is valid."""
        seconds, made = 0.0, 0
        for attempt in range(1, LIVE_ATTEMPTS + 1):
            generator = self.generator(self.live_prompt, LIVE_BUDGET, guided, forcing=forcing)
            start = generator.token_count()
            started = time.perf_counter()
            while not generator.is_done() and generator.token_count() - start < LIVE_BUDGET:
                generator.generate_next_token()
            seconds += time.perf_counter() - started
            tokens = [int(token) for token in generator.get_sequence(0)[start:]]
            made += len(tokens)
            if is_valid(self.vocabulary.bytes_of(tokens)):
                return Outcome(seconds, made, made, attempts=attempt)
        return Outcome(seconds, made, made, valid=False, attempts=LIVE_ATTEMPTS)

    def _outcome(self, model: Timed, tokens: int) -> Outcome:
        seconds = time.perf_counter() - model.prefilled
        return Outcome(seconds, tokens, model.forwards - 1, 1 - model.seconds / seconds)


def is_valid(data: bytes) -> bool:
    try:
        jsonschema.validate(json.loads(data), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


class LlamaCpp:
    """The same weights under llama-cpp-python, for comparison."""

    def __init__(self, gguf: Path, threads: int) -> None:
        import llama_cpp

        self._library = llama_cpp
        self._model = llama_cpp.Llama(str(gguf), n_ctx=2048, n_threads=threads, verbose=False)

    def live(self, *, guided: bool) -> Outcome:
        grammar = None
        if guided:
            grammar = self._library.LlamaGrammar.from_json_schema(json.dumps(SCHEMA), verbose=False)
        self._model.reset()
        started = time.perf_counter()
        answer = self._model(LIVE_PROMPT, max_tokens=LIVE_BUDGET, temperature=0.0, grammar=grammar)
        seconds = time.perf_counter() - started
        tokens = answer["usage"]["completion_tokens"]
        return Outcome(seconds, tokens, tokens, valid=is_valid(answer["choices"][0]["text"].encode()))


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
    print("| arm | seconds (quartiles) | ratio | tokens | forwards | per token | outside the model | valid |")
    print("|---|---|---|---|---|---|---|---|")
    for name, outcomes in found.items():
        low, _, high = statistics.quantiles([outcome.seconds for outcome in outcomes], n=4)
        ratio = statistics.median(
            outcome.seconds / other.seconds for outcome, other in zip(outcomes, found[base], strict=True)
        )
        last = outcomes[-1]
        outside = statistics.median(outcome.outside for outcome in outcomes)
        valid = sum(outcome.valid for outcome in outcomes)
        print(
            f"| {name} | {medians[name]:.3f} ({low:.3f}–{high:.3f}) | {ratio:.2f} | {last.tokens} | {last.forwards} "
            f"| {last.forwards / last.tokens:.2f} | {f'{outside:.1%}' if outside else '–'} "
            f"| {valid}/{len(outcomes)}{f', {last.attempts} tries' if last.attempts > 1 else ''} |"
        )


def photo_mini() -> Path:
    """Return the built package of `photo-mini`."""
    settings = Settings.read()
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    bundle = resolve("photo-mini", library, plugins, lambda _: None)
    build(bundle, plugins.backends, lambda _: None)
    return package_folder(bundle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
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
