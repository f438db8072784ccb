"""What the benchmarks of converted models share: a text of known origin, and answers in float32 and of a package."""

from __future__ import annotations

import hashlib
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.sessions import open_session

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
        """Return how far they are from others.

        The largest difference is that of a single token's loss, which is its negative log-probability.
        """
        differences = self.losses - expected.losses
        return {
            "top1_agreement": round(float(np.mean(self.choices == expected.choices)), 4),
            "loss_nats": round(float(self.losses.mean()), 4),
            "loss_difference_nats": round(float(differences.mean()), 4) + 0.0,  # not -0.0
            "largest_difference_nats": float(f"{np.abs(differences).max():.2g}"),
        }


class Reader(Protocol):
    """One sequence of a package: it reads tokens and gives the logits after the last one."""

    def append_tokens(self, tokens: npt.NDArray[np.int32]) -> None:
        """Read tokens."""

    def get_logits(self) -> Floats:
        """Return the logits after the last token; their last axis is the vocabulary."""

    def rewind_to(self, length: int) -> None:
        """Forget all tokens but the first ones."""


class PlainReader:
    """A sequence of a converted package on plain ONNX Runtime, as the backend `onnx` runs it."""

    def __init__(self, package: Path, length: int, threads: int | None = None) -> None:
        session = open_session(package / genai_config(package)["decoder"]["filename"], threads=threads or 0)
        self._cache = Cache(session, rows=1, length=length)
        self._length = 0

    def append_tokens(self, tokens: npt.NDArray[np.int32]) -> None:
        """Read tokens."""
        further = self._cache.inputs.of_tokens([self._length], [self._length], len(tokens))
        self._cache.run(tokens[None].astype(np.int64), [self._length], further=further)
        self._length += len(tokens)

    def get_logits(self) -> Floats:
        """Return the logits after the last token, (vocabulary,)."""
        return self._cache.logits(0)

    def rewind_to(self, length: int) -> None:
        """Forget all tokens but the first ones. What the cache holds behind them is overwritten."""
        self._length = length


Opener = Callable[[Path, int, int | None], Reader]
"""Loads a package and begins a sequence of at most so many tokens, with so many threads; None: the runtime's choice."""


def python_topics() -> Text:
    """Return the language reference's topics that `help()` shows, which every CPython carries."""
    from pydoc_data.topics import topics

    name = f"pydoc_data.topics of {platform.python_implementation()} {platform.python_version()}"
    return Text(name, "\n\n".join(topics[key] for key in sorted(topics)))


def tokenize(package: Path, text: str) -> list[int]:
    """Encode a text by the package's tokenizer, with the token at its beginning that the model may expect."""
    vocabulary = Vocabulary.read(package)
    config = json.loads((package / "tokenizer_config.json").read_text(encoding="utf-8"))
    begin = [genai_config(package)["bos_token_id"]] if config.get("add_bos_token") else []
    return begin + vocabulary.encode(vocabulary.quote(text))


def float_answers(gguf: Path, tokens: Sequence[int]) -> Answers:
    """Ask the plain float32 implementation; the last token is only ever an answer."""
    from olpipe.testing.float_decoder import FloatDecoder

    model = FloatDecoder(gguf)
    hidden = model.hidden(tokens[:-1])
    parts = [
        judge(model.project(hidden[at : at + _ROWS]), tokens[at + 1 : at + 1 + _ROWS])
        for at in range(0, len(hidden), _ROWS)
    ]
    return Answers(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def package_answers(package: Path, tokens: Sequence[int], *, opened: Opener = PlainReader) -> Answers:
    """Ask a package, token by token as it decodes."""
    reader = opened(package, len(tokens), None)
    parts = []
    for token, following in pairwise(tokens):
        reader.append_tokens(np.array([token], np.int32))
        parts.append(judge(reader.get_logits().reshape(1, -1), [following]))
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
    opened: Opener = PlainReader,
) -> dict[Path, dict[int, list[float]]]:
    """Time forwards of some tokens in turns, each package's in an order drawn anew.

    Returns:
        By package and number of tokens, the milliseconds of each turn.
    """
    readers = {package: opened(package, _CONTEXT + 4 * max(lengths) + 1, threads) for package in packages}
    for reader in readers.values():
        reader.append_tokens(np.array(tokens[:_CONTEXT], np.int32))
    times: dict[Path, dict[int, list[float]]] = {package: {length: [] for length in lengths} for package in packages}
    order = list(packages)
    for _ in range(repeats):
        for length in lengths:
            random.shuffle(order)
            for package in order:
                times[package][length].append(_forward(readers[package], tokens, length))
    return times


def medians(times: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Return the median milliseconds of forwards of each length."""
    return {length: round(statistics.median(found), 2) for length, found in times.items()}


def _forward(reader: Reader, tokens: Sequence[int], length: int) -> float:
    """Return the median milliseconds of three forwards; one before them warms the caches."""
    reader.rewind_to(_CONTEXT)
    times = []
    for turn in range(4):
        start = _CONTEXT + turn * length
        chunk = np.array(tokens[start : start + length], np.int32)
        started = time.perf_counter()
        reader.append_tokens(chunk)
        reader.get_logits()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def open_generator(package: Path, length: int, threads: int | None = None) -> Any:
    """Begin a sequence in ONNX Runtime GenAI, which is a `Reader`."""
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
