"""Measure the time from a photo's JPEG file to the inputs of a vision encoder, for every family.

    taskset -c 0 python benchmarks/fitting.py [--photo PATH] [--pixels N] [--repeats 15] [--bar 60]

The photo has 12 megapixels, unless it is given. It is decoded as `olpipe batch` decodes it: to as many pixels as the
runner of a model of the family says. Then the family makes the inputs of an encoder of a usual size, with about one
megapixel where the family lets it choose. The families take turns, and the table has medians. All times are of the
processor, so that other programs matter little. The measure fails when a family takes longer than the bar.

| column | what it is |
|---|---|
| jpeg | Pillow decodes the file, at 1/2, 1/4 or 1/8 of its size where that is enough |
| loader | `olpipe.imaging.decode` without that: above all, it scales the photo down |
| resize | `Family.inputs` gives the photo the size that the encoder takes |
| patches | `Family.inputs` without that: it normalises colours and cuts patches |
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.families.showing import usable_pixels
from olpipe.families.table import family_named, shipped_families
from olpipe.image import DecodedImage
from olpipe.imaging.decode import decode
from olpipe.interfaces import ImageLoader
from olpipe.interfaces.vision import Family, VisionConfig
from olpipe.plugins import Plugins
from olpipe.settings import Settings

WIDTH, HEIGHT = 4000, 3000
QUALITY = 90
CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
WIDTHS: dict[str, Any] = {"layers": 1, "inner_width": 1, "output_width": 1, "epsilon": 1e-6}  # nothing here uses them

# The sizes of encoders that people use, and most tokens of an image
CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("LLaVA 1.5", 576, {"image_size": 336, "patch_size": 14, "merge": 1, "heads": 16, "width": 1024, **CLIP}),
    ("Gemma 3", 256, {"image_size": 896, "patch_size": 14, "merge": 4, "heads": 16, "width": 1152, **HALF}),
    (
        "Qwen2.5-VL",
        1024 * 1024 // 28**2,
        {"image_size": 560, "patch_size": 14, "merge": 2, "heads": 16, "width": 1280, "window": 112}
        | {"least_pixels": 3136, "most_pixels": 12_845_056, **CLIP},
    ),
    (
        "Qwen3-VL",
        1024 * 1024 // 32**2,
        {"image_size": 768, "patch_size": 16, "merge": 2, "heads": 16, "width": 1024}
        | {"least_pixels": 65_536, "most_pixels": 16_777_216, **HALF},
    ),
    *(
        (
            "Idefics3",
            tokens,
            {
                "image_size": 512,
                "patch_size": 16,
                "merge": 4,
                "heads": 12,
                "width": 768,
                "most_pixels": 2048**2,
                **HALF,
            },
        )
        for tokens in (320, 1088)
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One family with an encoder.

    Attributes:
        family: The family.
        config: The sizes of the encoder.
        tokens: Most tokens of an image.
        pixels: How many pixels of a photo the runner can use.
    """

    family: Family
    config: VisionConfig
    tokens: int
    pixels: int

    @classmethod
    def of(cls, name: str, tokens: int, sizes: dict[str, Any]) -> Case:
        """Make the case as a runner would."""
        family = family_named(name, shipped_families())
        config = family.config_class(**{"family": name, **sizes, **WIDTHS})
        return cls(family, config, tokens, usable_pixels(partial(family.fit, config, tokens=tokens)))

    def inputs(self, pixels: npt.NDArray[np.uint8], shown: DecodedImage) -> None:
        """Make the inputs of the encoder from pixels, in the size that a decoded photo gets."""
        height, width = shown.pixels.shape[:2]
        self.family.inputs(self.config, pixels, self.family.fit(self.config, width, height, self.tokens))

    def fitted(self, shown: DecodedImage) -> tuple[int, int]:
        """Return the width and the height that a decoded photo gets."""
        height, width = shown.pixels.shape[:2]
        found = self.family.fit(self.config, width, height, self.tokens)
        return found.width, found.height


def main() -> int:
    """Print the table; fail when a family is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photo", type=Path, help="a JPEG file, in place of a generated one")
    parser.add_argument("--pixels", type=int, help="decode to this many pixels, and not to what the runner says")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--bar", type=float, default=60.0, help="milliseconds of the processor")
    arguments = parser.parse_args()
    data = arguments.photo.read_bytes() if arguments.photo else photo()
    cases = [Case.of(*case) for case in CASES]
    if arguments.pixels:
        cases = [replace(case, pixels=arguments.pixels) for case in cases]
    loaders = list(Plugins.load(Settings()).image_loaders)
    times: list[list[list[float]]] = [[] for _ in cases]  # by case, repeat and step
    for turn in range(-1, arguments.repeats):
        for case, found in zip(cases, times, strict=True):
            steps = measure(case, data, loaders)
            if turn >= 0:
                found.append(steps)
    print(f"{len(data) / 1e6:.1f} MB of JPEG; medians of {arguments.repeats}, in ms of the processor")
    print(f"{'family':<12}{'decoded to':>12}{'fitted to':>12}", end="")
    print(f"{'jpeg':>8}{'loader':>8}{'resize':>8}{'patches':>9}{'all':>8}{'least':>8}")
    slow = 0
    for case, found in zip(cases, times, strict=True):
        shown = decode(data, ".jpg", loaders, sizes=[case.pixels])
        sides = ["x".join(map(str, size)) for size in (shown.pixels.shape[1::-1], case.fitted(shown))]
        medians = [1e3 * statistics.median(step) for step in zip(*found, strict=True)]
        wholes = [1e3 * sum(steps) for steps in found]
        print(f"{case.family.name:<12}{sides[0]:>12}{sides[1]:>12}", end="")
        print(f"{medians[0]:8.1f}{medians[1]:8.1f}{medians[2]:8.1f}{medians[3]:9.1f}", end="")
        print(f"{statistics.median(wholes):8.1f}{min(wholes):8.1f}")
        slow += statistics.median(wholes) > arguments.bar
    print(f"{slow} of {len(cases)} over the bar of {arguments.bar:g} ms")
    return 1 if slow else 0


def measure(case: Case, data: bytes, loaders: list[ImageLoader]) -> list[float]:
    """Return how many seconds each step takes, in the order of the columns."""
    # 1. The whole way, in its two halves.
    decoding, shown = timed(lambda: decode(data, ".jpg", loaders, sizes=[case.pixels]))
    making, _ = timed(lambda: case.inputs(shown.pixels, shown))
    # 2. How much of it is the JPEG decoder, and how much is left where nothing has to be resized.
    jpeg, _ = timed(lambda: draft(data, case.pixels))
    width, height = case.fitted(shown)
    exact = np.ascontiguousarray(np.resize(shown.pixels, (height, width, 3)))
    patches, _ = timed(lambda: case.inputs(exact, shown))
    return [jpeg, decoding - jpeg, making - patches, patches]


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds of the processor a call takes, and what it returns."""
    started = time.process_time()
    result = act()
    return time.process_time() - started, result


def draft(data: bytes, pixels: int) -> None:
    """Decode a JPEG file as the loader does, without what follows."""
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    scale = min(1.0, math.sqrt(pixels / (image.width * image.height)))
    image.draft(None, (round(image.width * scale), round(image.height * scale)))
    image.load()


def photo() -> bytes:
    """Return a JPEG file as large as that of a phone: soft colours, with detail of every size and some noise."""
    from PIL import Image

    generator = np.random.default_rng(0)
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
    for cell, strength in ((500, 60), (125, 25), (31, 12), (8, 8), (2, 9)):
        coarse = generator.normal(0, strength, (HEIGHT // cell + 1, WIDTH // cell + 1, 3)).clip(-127, 127) + 128
        layer = Image.fromarray(coarse.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        picture += np.asarray(layer, np.float32) - 128
    buffer = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
