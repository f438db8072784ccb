"""What the benchmarks of converted models share: a text of known origin, and answers in float32 and of a package."""

from __future__ import annotations

import hashlib
import json
import platform
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_ROWS = 256  # logits of so many tokens are held at once
_CONTEXT = 64  # tokens before those whose forward is timed


@dataclass(frozen=True)
class Text:
    """A text, and words that tell which one it is."""

    name: str
    content: str

    @property
    def sha256(self) -> str:
        """Digest of the text in UTF-8."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Answers:
    """What a model says at each position of a text: its first choice, and the loss in nats of what does come next."""

    choices: npt.NDArray[np.intp]
    losses: npt.NDArray[np.float64]

    def compared(self, expected: Answers) -> dict[str, float]:
        """Return how far they are from others."""
        return {
            "top1_agreement": round(float(np.mean(self.choices == expected.choices)), 4),
            "loss_nats": round(float(self.losses.mean()), 4),
            "loss_difference_nats": round(float(self.losses.mean() - expected.losses.mean()), 4),
        }


def python_topics() -> Text:
    """Return the language reference's topics that `help()` shows, which every CPython carries."""
    from pydoc_data.topics import topics

    name = f"pydoc_data.topics of {platform.python_implementation()} {platform.python_version()}"
    return Text(name, "\n\n".join(topics[key] for key in sorted(topics)))


def tokenize(package: Path, text: str) -> list[int]:
    """Encode by the package's tokenizer, without special tokens."""
    import llguidance

    config = genai_config(package)
    tokenizer = llguidance.LLTokenizer(
        (package / "tokenizer.json").read_text(encoding="utf-8"),
        n_vocab=config["vocab_size"],
        eos_token=config["eos_token_id"][0],
    )
    return list(tokenizer.tokenize_str(text))


def float_answers(gguf: Path, tokens: Sequence[int]) -> Answers:
    """Ask the plain float32 implementation; the last token is only ever an answer."""
    from olpipe.testing.float_llama import FloatLlama

    model = FloatLlama(gguf)
    hidden = model.hidden(tokens[:-1])
    parts = [
        judge(model.project(hidden[at : at + _ROWS]), tokens[at + 1 : at + 1 + _ROWS])
        for at in range(0, len(hidden), _ROWS)
    ]
    return Answers(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def package_answers(package: Path, tokens: Sequence[int]) -> Answers:
    """Ask a package through ONNX Runtime GenAI, token by token as it decodes."""
    generator = open_generator(package, len(tokens))
    parts = []
    for token, following in pairwise(tokens):
        generator.append_tokens(np.array([token], np.int32))
        parts.append(judge(generator.get_logits().reshape(1, -1), [following]))
    return Answers(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def judge(logits: Floats, following: Sequence[int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the first choices of rows of logits, and the losses of the tokens that do follow."""
    largest = logits.max(axis=1, keepdims=True)
    log_sums = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1, dtype=np.float64))
    return logits.argmax(axis=1), log_sums - logits[np.arange(len(logits)), following]


def forward_times(
    packages: Sequence[Path],
    tokens: Sequence[int],
    *,
    lengths: Sequence[int] = (1, 2, 4),
    repeats: int = 40,
    threads: int | None = None,
) -> dict[Path, dict[int, list[float]]]:
    """Time forwards of some tokens in turns, each package's in an order drawn anew.

    Returns:
        By package and number of tokens, the milliseconds of each turn.
    """
    generators = {package: open_generator(package, _CONTEXT + 4 * max(lengths) + 1, threads) for package in packages}
    for generator in generators.values():
        generator.append_tokens(np.array(tokens[:_CONTEXT], np.int32))
    times: dict[Path, dict[int, list[float]]] = {package: {length: [] for length in lengths} for package in packages}
    order = list(packages)
    for _ in range(repeats):
        for length in lengths:
            random.shuffle(order)
            for package in order:
                times[package][length].append(_forward(generators[package], tokens, length))
    return times


def medians(times: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Return the median milliseconds of forwards of each length."""
    return {length: round(statistics.median(found), 2) for length, found in times.items()}


def _forward(generator: Any, tokens: Sequence[int], length: int) -> float:
    """Return the median milliseconds of three forwards; one before them warms the caches."""
    generator.rewind_to(_CONTEXT)
    times = []
    for turn in range(4):
        start = _CONTEXT + turn * length
        chunk = np.array(tokens[start : start + length], np.int32)
        started = time.perf_counter()
        generator.append_tokens(chunk)
        generator.get_logits()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def open_generator(package: Path, length: int, threads: int | None = None) -> Any:
    """Load a package and begin a sequence of at most so many tokens."""
    import onnxruntime_genai as og

    config = og.Config(str(package))
    if threads is not None:
        session = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": session}}))
    model = og.Model(config)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=length)
    return og.Generator(model, parameters)


def genai_config(package: Path) -> dict[str, Any]:
    """Return the `model` part of a package's configuration."""
    config: dict[str, Any] = json.loads((package / "genai_config.json").read_text(encoding="utf-8"))["model"]
    return config


def megabytes(package: Path) -> float:
    """Return the size of a package's files."""
    return round(sum(path.stat().st_size for path in package.iterdir()) / 1e6, 1)
