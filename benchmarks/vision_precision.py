"""Measure what the eight bits of a vision encoder cost.

    python benchmarks/vision_precision.py [--model MODEL.gguf] [--projector PROJECTOR.gguf] [--photos FOLDER]

A vision encoder is converted twice, with eight bits and in float32. Both look at the same photos, and the text model
reads the features of each in float32. So what differs comes from the encoder alone. Without `--model`, the tiny models
of `olpipe.testing` with three seeds are measured, on five photos each. Eight bits would hold their weights exactly, so
each weight is moved by up to half a step first, as rounding does with real weights. Their answers are random.

It prints one JSON object for each model: the relative error of the features, mean and largest; and over all tokens
behind the photos the share where another token is the likeliest, and the largest difference of a log-probability.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from conversion_measures import Floats
from PIL import Image

from olpipe.convert.package import convert_gguf
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.rows import Row
from olpipe.default_plugins.onnx.runner import BatchedRunner
from olpipe.default_plugins.packages import TextPackage
from olpipe.families.vision_part import find_vision
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.sessions import open_session
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES, projector_content, write_vision_gguf

QUESTION = "What is in the photo? Is there a dog, or a cat in the street? And what is behind it?"
SIZES = ((96, 64), (64, 96), (112, 112), (300, 200), (333, 100))
SEEDS = (0, 1, 2)
EXACT, ROUNDED = "float32", "int8"


@dataclass
class Differences:
    """What was measured so far."""

    features: list[float] = field(default_factory=list)
    others: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, exact: Prompt, rounded: Prompt, logits: tuple[Floats, Floats]) -> None:
        """Compare one photo: the prompts with its features, and the logits behind them, (tokens, vocabulary) each."""
        for one, other in zip(exact.images, rounded.images, strict=True):
            for name, values in one.features.items():
                expected, found = (np.asarray(each, np.float32) for each in (values, other.features[name]))
                self.features.append(float(np.linalg.norm(found - expected) / np.linalg.norm(expected)))
        self.others += list(logits[0].argmax(axis=1) != logits[1].argmax(axis=1))
        difference = np.abs(log_probabilities(logits[0]) - log_probabilities(logits[1]))
        self.logprobs.append(float(difference.max()))

    def summary(self) -> dict[str, float]:
        """Return the figures."""
        return {
            "features_error_mean": round(float(np.mean(self.features)), 4),
            "features_error_largest": round(max(self.features), 4),
            "other_top1": round(float(np.mean(self.others)), 4),
            "tokens": len(self.others),
            "largest_logprob_difference": round(max(self.logprobs), 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--projector", type=Path, help="where the vision encoder is a file of its own")
    parser.add_argument("--photos", type=Path, help="a folder of photos; default: five that are made up")
    options = parser.parse_args()
    photos = [smooth_photo(*size, seed=seed) for seed, size in enumerate(SIZES)]
    if options.photos:
        photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(options.photos.iterdir())]
    with tempfile.TemporaryDirectory() as scratch:
        models = {options.model.name: [(options.model, options.projector)]} if options.model else {}
        for name, files in models.items() or tiny_models(Path(scratch)):
            differences = Differences()
            for number, (gguf, projector) in enumerate(files):
                measure(gguf, projector, Path(scratch, f"packages-{name}-{number}"), photos, differences)
            print(json.dumps({"model": name, **differences.summary()}), flush=True)


def tiny_models(folder: Path) -> Iterator[tuple[str, list[tuple[Path, Path | None]]]]:
    """Yield each family with its tiny models, as files of the text model and of the vision encoder."""
    for family in FAMILIES:
        files: list[tuple[Path, Path | None]] = []
        for seed in SEEDS:
            gguf, projector = write_vision_gguf(family, folder / f"{family}-{seed}", seed=seed)
            content = projector_content(family, seed=seed)
            random = np.random.default_rng(seed)
            moved = {name: between_steps(values, random) for name, values in content.tensors.items()}
            replace(content, tensors=moved, formats={}).write(projector)
            files.append((gguf, projector))
        yield family, files


def between_steps(values: Floats, random: np.random.Generator) -> Floats:
    """Move the values of a matrix, which are multiples of a power of two, by up to half of that step."""
    if values.ndim == 1:
        return values
    step = next(2.0**power for power in range(0, -40, -1) if not np.any(values % 2.0**power))
    return (values + step * random.uniform(-0.5, 0.5, values.shape)).astype(np.float32)


def measure(
    gguf: Path, projector: Path | None, folder: Path, photos: Sequence[npt.NDArray[np.uint8]], differences: Differences
) -> None:
    """Convert a model twice, and compare what it makes of photos."""
    vision = find_vision(gguf, projector)
    bundle = ModelBundle(ModelName.parse("measured"), "sha256:0", folder, folder)
    runners = {}
    for precision in (EXACT, ROUNDED):
        package = folder / precision
        package.mkdir(parents=True)
        convert_gguf(gguf, package, vision=vision, precision=precision, progress=lambda _: None)
        runners[precision] = BatchedRunner(package, bundle, LoadOptions(threads=1))
    files = TextPackage.read(folder / EXACT, bundle)
    session = open_session(files.folder / files.decoder, threads=1)
    for photo in photos:
        exact, rounded = (runner.prepare(asking(photo)).prompt for runner in runners.values())
        cache = Cache(session, rows=1, length=len(exact), window=files.window)
        differences.add(exact, rounded, (answers(cache, exact), answers(cache, rounded)))
    for runner in runners.values():
        runner.close()


def asking(photo: npt.NDArray[np.uint8]) -> GenerateRequest:
    """Return a request about a photo, (height, width, 3)."""
    height, width = photo.shape[:2]
    parts = (ImagePart(DecodedImage(photo, width, height)), TextPart(QUESTION))
    return GenerateRequest("measured", (Message("user", parts),), sampling=SamplingParams(max_tokens=4))


def answers(cache: Cache, prompt: Prompt) -> Floats:
    """Return the logits after the last image of a prompt and after each token behind it, (tokens, vocabulary)."""
    row, end = Row(cache, 0), prompt.images[-1].end
    return np.array([row.prefill(prompt.beginning(end)), *(row.decode([token]) for token in prompt.tokens[end:])])


def log_probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    """Return the logarithms of the probabilities of all tokens, (tokens, vocabulary)."""
    less = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = less - np.log(np.exp(less).sum(axis=1, keepdims=True))
    return result


if __name__ == "__main__":
    main()
