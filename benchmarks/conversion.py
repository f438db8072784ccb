"""Measure what a conversion costs in quality, time and memory.

    python benchmarks/conversion.py MODEL.gguf [--precision int4] [--precision int8] [--tokens 1024] [--text FILE]

The converted package reads a text token by token through ONNX Runtime GenAI, as it does when it decodes; a plain
numpy float32 forward over the same GGUF file (`olpipe.testing.float_llama`, which shares no code with the
converter) is the measure. The text is the beginning of Lewis Carroll's "Alice's Adventures in Wonderland" (1865,
public domain), in `benchmarks/texts/alice.txt`.

Printed, one JSON object a line: top-1 agreement (share of positions where both say the same next token), mean loss
in nats of both, and the seconds and peak resident memory of the conversion, which runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TEXT = Path(__file__).parent / "texts" / "alice.txt"
_CONVERT = """
import resource, sys, time
from pathlib import Path
from olpipe.convert.package import convert_gguf
start = time.perf_counter()
convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]), precision=sys.argv[3], progress=lambda _: None)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--precision", action="append", choices=("int4", "int8"), help="repeatable; default: both")
    parser.add_argument("--tokens", type=int, default=1024, help="how much of the text to read")
    parser.add_argument("--text", type=Path, default=TEXT)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        # All conversions first: a child process inherits the peak of the parent it was forked from.
        packages = {}
        for precision in options.precision or ["int4", "int8"]:
            package = Path(scratch, precision)
            package.mkdir()
            packages[package] = convert(options.gguf, package, precision)
        text = options.text.read_text(encoding="utf-8")
        tokens = tokenize(next(iter(packages)), text)[: options.tokens]
        expected = reference_logits(options.gguf, tokens)
        for package, (seconds, peak_bytes) in packages.items():
            measured = package_logits(package, tokens)
            result = {
                "precision": package.name,
                "text": options.text.name,
                "tokens": len(tokens),
                "top1_agreement": round(float(np.mean(measured.argmax(axis=1) == expected.argmax(axis=1))), 4),
                "loss_nats": round(mean_loss(measured, tokens), 4),
                "float32_loss_nats": round(mean_loss(expected, tokens), 4),
                "package_mb": round(sum(path.stat().st_size for path in package.iterdir()) / 1e6, 1),
                "convert_s": round(seconds, 2),
                "convert_peak_mb": round(peak_bytes / 1e6),
            }
            print(json.dumps(result), flush=True)


def convert(gguf: Path, folder: Path, precision: str) -> tuple[float, int]:
    """Return seconds and peak resident bytes."""
    import subprocess

    command = [sys.executable, "-c", _CONVERT, str(gguf), str(folder), precision]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024)


def tokenize(package: Path, text: str) -> list[int]:
    import llguidance

    config = genai_config(package)
    tokenizer = llguidance.LLTokenizer(
        (package / "tokenizer.json").read_text(encoding="utf-8"),
        n_vocab=config["vocab_size"],
        eos_token=config["eos_token_id"][0],
    )
    return list(tokenizer.tokenize_str(text))


def reference_logits(gguf: Path, tokens: list[int]) -> Floats:
    from olpipe.testing.float_llama import FloatLlama

    start = time.perf_counter()
    logits = FloatLlama(gguf).logits(tokens)
    print(f"float32 reference: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return logits


def package_logits(package: Path, tokens: list[int]) -> Floats:
    import onnxruntime_genai as og

    model = og.Model(str(package))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(tokens) + 1)
    generator = og.Generator(model, parameters)
    logits = np.empty((len(tokens), genai_config(package)["vocab_size"]), np.float32)
    start = time.perf_counter()
    for position, token in enumerate(tokens):
        generator.append_tokens(np.array([token], np.int32))
        logits[position] = generator.get_logits().reshape(-1)
    rate = len(tokens) / (time.perf_counter() - start)
    print(f"package: {rate:.0f} tokens/s, one by one", file=sys.stderr)
    return logits


def mean_loss(logits: Floats, tokens: list[int]) -> float:
    """Return the mean negative log likelihood of each token after the first."""
    predicting = logits[:-1].astype(np.float64)
    predicting -= predicting.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(predicting).sum(axis=1))
    return float(np.mean(log_sums - predicting[np.arange(len(predicting)), tokens[1:]]))


def genai_config(package: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((package / "genai_config.json").read_text(encoding="utf-8"))["model"]
    return config


if __name__ == "__main__":
    main()
