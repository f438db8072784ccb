"""Measure whether the memory of a vision model's process stays flat over many photos.

    python benchmarks/vision_memory.py [--family qwen3_vl] [--model NAME] [--photos 500] [--one-size] [--bar 10]

Photos of many sizes are made, written as JPEG files and decoded as a batch does it. The engine asks a model in a
process of its own about each of them. The resident memory of that process and of this process is printed after every
fifty photos, and at the end the least-squares slope of each after the first hundred.

The model keeps features of photos, up to a limit. They are no leak, so they are subtracted, as far as it is known how
many there are. The measure fails when a slope is over the bar.

`--family` makes a tiny random model on the spot. `--model` takes one that `olpipe list` shows.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from olpipe import machine
from olpipe.convert.architectures import FORMAT_VERSION
from olpipe.default_plugins.onnx.eyes import KEPT_BYTES
from olpipe.engine.manager import Engine
from olpipe.families.packaged import PackagedVision
from olpipe.families.table import family_named, shipped_families
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.imaging.decode import decode
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES, write_vision_gguf

PROMPT = "Describe the photo."
WARM_UP = 100
EVERY = 50
FOR_EVER = -1.0
SHORTEST, LONGEST = 16, 2400
ONE_SIZE = (1024, 768)
BYTES_OF_FLOAT = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """What the processes take after some photos.

    Attributes:
        photos: How many photos so far.
        model: Bytes of the model's process.
        kept: Bytes of the features that it keeps.
        own: Bytes of this process.
    """

    photos: int
    model: int
    kept: int
    own: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine that has a model.

    Attributes:
        engine: The engine.
        name: The name of the model.
        plugins: What decodes photos.
        token_bytes: How many bytes of features a token of an image has.
    """

    engine: Engine
    name: str
    plugins: Plugins
    token_bytes: int


def main() -> int:
    """Print the samples and both slopes; fail over the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", choices=FAMILIES, default="qwen3_vl")
    parser.add_argument("--model", help="a model of this machine, in place of a tiny one")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--one-size", action="store_true", help="make all photos of one size")
    parser.add_argument("--image-tokens", type=int, default=0, help="most tokens of a photo; 0 for the usual number")
    parser.add_argument("--max-tokens", type=int, default=8, help="most tokens of an answer")
    parser.add_argument("--bar", type=float, default=10.0, help="KB a photo")
    arguments = parser.parse_args()
    if machine.resident_bytes(os.getpid()) is None:
        print("this system does not tell how much memory a process takes")
        return 2
    with loaded(arguments.family, arguments.model) as model:
        options = LoadOptions(image_tokens=arguments.image_tokens)
        files = photos(arguments.photos, one_size=arguments.one_size)
        samples = list(measure(model, files, options, arguments.max_tokens))
    late = [sample for sample in samples if sample.photos >= WARM_UP]
    if len(late) < 2:
        print(f"a slope needs more than {WARM_UP + EVERY} photos")
        return 2
    slopes = [
        slope([(one.photos, one.model - one.kept) for one in late]),
        slope([(one.photos, one.own) for one in late]),
    ]
    print(f"{model.name}, {arguments.photos} photos; slope after the first {WARM_UP}: ", end="")
    print(f"model's process {slopes[0]:.2f} KB a photo, this process {slopes[1]:.2f}; bar {arguments.bar:g}")
    return 0 if max(slopes) <= arguments.bar else 1


def photos(count: int, *, one_size: bool) -> Iterator[bytes]:
    """Yield JPEG files of different pictures: of one size, or of sizes from tiny to large and from wide to tall."""
    from PIL import Image

    generator = random.Random(0)
    for number in range(count):
        sides = [round(SHORTEST * (LONGEST / SHORTEST) ** generator.random()) for _ in range(2)]
        width, height = ONE_SIZE if one_size else sides
        buffer = io.BytesIO()
        Image.fromarray(smooth_photo(width, height, seed=number)).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def measure(model: Loaded, files: Iterator[bytes], options: LoadOptions, max_tokens: int) -> Iterator[Sample]:
    """Ask about each photo, and yield what the processes take after every few of them."""
    info = model.engine.load(model.name, keep_alive_s=FOR_EVER, options=options).result()
    kept = 0
    for number, data in enumerate(files, 1):
        image = decode(data, ".jpg", model.plugins.image_loaders, sizes=[info.fit_pixels])
        request = asking(model.name, image, max_tokens)
        completion = model.engine.submit(request, keep_alive_s=FOR_EVER, options=options).completion()
        kept += sum(shown.tokens for shown in completion.shown) * model.token_bytes
        if number % EVERY == 0:
            gc.collect()
            (resident,) = model.engine.loaded()
            sample = Sample(
                number, resident.size_bytes, min(kept, KEPT_BYTES), machine.resident_bytes(os.getpid()) or 0
            )
            print(
                f"{number:>6} photos: {sample.model / 1e6:8.1f} MB, of them features {sample.kept / 1e6:6.1f} MB; "
                f"this process {sample.own / 1e6:8.1f} MB",
                flush=True,
            )
            yield sample


def asking(model: str, image: DecodedImage, max_tokens: int) -> GenerateRequest:
    """Return a request about a photo."""
    message = Message("user", (ImagePart(image), TextPart(PROMPT)))
    return GenerateRequest(model, (message,), SamplingParams(max_tokens=max_tokens, temperature=0))


def slope(samples: list[tuple[int, int]]) -> float:
    """Return the least-squares slope in KB a photo."""
    counts, sizes = np.array(samples, np.float64).T
    return float(np.polyfit(counts, sizes, 1)[0]) / 1e3


@contextmanager
def loaded(family: str, model: str | None) -> Iterator[Loaded]:
    """Give an engine that has a model: a tiny one of a family, or one of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder)) if model is None else Settings.read()
        settings = replace(settings, memory_limit=1 << 20)  # a process that is replaced would hide what it leaked
        plugins = Plugins.load(settings)
        library = Library(settings.models_folder, cache=settings.home / "cache")
        name = ModelName.parse(model or family)
        if model is None:
            text, projector = write_vision_gguf(family, Path(folder) / "files")
            origin, _ = find_source(f"file:{text}#{projector}", plugins)
            pull(origin, name, library, plugins, progress=lambda _: None)
        with Engine(library, plugins, settings) as engine:
            yield Loaded(engine, str(name), plugins, token_bytes(library, name))


def token_bytes(library: Library, name: ModelName) -> int:
    """Return how many bytes of features a token of an image has; 0 for a model that was not converted here."""
    package = PackagedVision.read(library.get(name).cache / f"onnx-{FORMAT_VERSION}")
    if package is None:
        return 0
    config = package.config(family_named(package.family, shipped_families()))
    return BYTES_OF_FLOAT * config.output_width * (1 + len(config.deepstack_layers))


if __name__ == "__main__":
    sys.exit(main())
