"""Measure what a conversion costs in quality, time and memory.

    python benchmarks/conversion.py MODEL.gguf [--precision int4 ...] [--tokens 4096] [--text FILE]

The model may have any architecture that can be converted. The converted package reads a text token by token on plain
ONNX Runtime, as it does when it decodes. It is compared with a plain numpy float32 forward over the same GGUF file
(`olpipe.testing.float_decoder`, which shares no code with the converter). The text is what Python's own `help()` says
about the language, from `pydoc_data.topics`. The digest of the text is printed. Where a model expects a token at the
beginning of each text, it gets it.

The converter does not offer `int4-symmetric`. It means four bits around the middle code, for comparison.

It prints one JSON object a line: top-1 agreement (the share of positions where both name the same next token), the mean
loss in nats of both, the largest difference of the loss of one token, the median milliseconds of forwards of 1, 2 and 4
tokens, taken in turns, and the seconds and peak resident memory of the conversion, which has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from conversion_measures import (
    Text,
    float_answers,
    forward_times,
    medians,
    megabytes,
    package_answers,
    python_topics,
    tokenize,
)

from olpipe.convert.package import PRECISIONS as OFFERED
from olpipe.convert.quantize import Coding, Floats, Quantised, quantize

SYMMETRIC = "int4-symmetric"
PRECISIONS = (*OFFERED, SYMMETRIC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="repeatable; default: all")
    parser.add_argument("--tokens", type=int, default=4096, help="how many tokens of the text to judge")
    parser.add_argument("--text", type=Path, help="another text")
    parser.add_argument("--threads", type=int, help="of a forward; default: the runtime's choice")
    parser.add_argument("--repeats", type=int, default=40, help="how often each forward is timed; 0: never")
    parser.add_argument("--convert-into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert_into:
        convert(options.gguf, options.convert_into, options.precision[0])
        return

    text = python_topics() if options.text is None else Text(options.text.name, options.text.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        # All conversions first: a child process inherits the peak of the parent it was forked from.
        conversions = {}
        for precision in options.precision or PRECISIONS:
            package = Path(scratch, precision)
            package.mkdir()
            conversions[package] = converted_apart(options.gguf, package, precision)
        whole = tokenize(next(iter(conversions)), text.content)
        tokens = whole[: options.tokens + 1]
        header = {"model": options.gguf.name, "text": text.name, "sha256": text.sha256, "tokens": len(tokens) - 1}
        print(json.dumps(header), flush=True)
        expected = float_answers(options.gguf, tokens)
        print(json.dumps({"reference": "float32", "loss_nats": round(float(expected.losses.mean()), 4)}), flush=True)
        times = {}
        if options.repeats:
            times = forward_times(list(conversions), whole, repeats=options.repeats, threads=options.threads)
        for package, conversion in conversions.items():
            found: dict[str, Any] = {"precision": package.name, **package_answers(package, tokens).compared(expected)}
            if package in times:
                found["forward_ms"] = medians(times[package])
            print(json.dumps({**found, "package_mb": megabytes(package), **conversion}), flush=True)


def converted_apart(gguf: Path, folder: Path, precision: str) -> dict[str, float]:
    """Convert in another process; returns its seconds and peak resident memory."""
    command = [sys.executable, __file__, str(gguf), "--precision", precision, "--convert-into", str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output)
    return found


def convert(gguf: Path, folder: Path, precision: str) -> None:
    """Convert in this process and print what it took."""
    import resource

    from olpipe.convert import linear
    from olpipe.convert.package import convert_gguf

    if precision == SYMMETRIC:
        vars(linear)["quantize"] = around_the_middle
    started = time.perf_counter()
    convert_gguf(gguf, folder, precision=precision.removesuffix("-symmetric"), progress=lambda _: None)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"convert_s": round(seconds, 1), "convert_peak_mb": round(peak / 1e6)}))


def around_the_middle(values: Floats, coding: Coding, block_size: int) -> Quantised:
    """Quantise to four-bit blocks around the middle code without offsets, each with the best of six scales."""
    if coding is not Coding.FOUR_BITS:
        return quantize(values, coding, block_size)
    blocks = values.reshape(-1, 1, block_size)
    extremes = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    extremes[extremes == 0] = 1
    scales = extremes / np.array([-8, -9, -8.5, -7.5, -7, -6.5], np.float32)[:, None]  # (blocks, choices, 1)
    codes = np.clip(np.rint(blocks / scales), -8, 7)
    errors = ((codes * scales - blocks) ** 2).sum(axis=2)
    best = np.arange(len(blocks)), errors.argmin(axis=1)
    stored = (codes[best] + 8).astype(np.uint8)
    shape = (len(values), -1)
    offsets = np.zeros((len(blocks), 1), np.float32)
    codes = stored[:, 0::2] | np.left_shift(stored[:, 1::2], 4)
    zero_points = offsets.astype(np.uint8) + 8
    return Quantised(
        codes.reshape(shape), scales[best].reshape(shape), offsets.reshape(shape), zero_points.reshape(shape)
    )


if __name__ == "__main__":
    main()
