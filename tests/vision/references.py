"""What the reference, `transformers`, computes with the tiny models of `olpipe.testing.vision_models`.

`record_references.py` recorded it. The models of that recording have the seed 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olpipe.testing.vision.photos import smooth_photo

_FOLDER = Path(__file__).parent / "references"


@dataclass(frozen=True, slots=True)
class SampledPixels:
    """The pixels that a vision encoder got for an image.

    Attributes:
        shape: (tiles, 3, height, width). The tiles of all images of a conversation may stand in one array.
        mean: The mean of all values.
        std: Their standard deviation.
        places: The places of a few values in the flattened array.
        values: The values at these places.
    """

    shape: tuple[int, ...]
    mean: float
    std: float
    places: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded conversation.

    Attributes:
        name: What it is about.
        turns: Its turns, of user and assistant by turns. A turn is made of texts, and of None for the next image.
        images: The images, (height, width, 3) uint8.
        settings: What differs from the settings of the model's file, such as `longest_edge` or `pad`.
        token_ids: The prompt, with a placeholder for each row of features.
        features: The rows of features of all images in a row, (rows, width); None where there is no image.
        deepstack: Features for the first layers, (layers, rows, width); None for most families.
        positions: The rotary positions of time, rows and columns, (3, length); None where positions have one axis.
        logits: The logits over the whole vocabulary, by the position of the token that they follow.
        pixels: The pixels that the vision encoder got.
    """

    name: str
    turns: tuple[tuple[str | None, ...], ...]
    images: tuple[npt.NDArray[np.uint8], ...]
    settings: dict[str, Any]
    token_ids: tuple[int, ...]
    features: npt.NDArray[np.float32] | None
    deepstack: npt.NDArray[np.float32] | None
    positions: npt.NDArray[np.int32] | None
    logits: dict[int, npt.NDArray[np.float32]]
    pixels: tuple[SampledPixels, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Fitting:
    """To which size the reference resizes an image.

    Attributes:
        settings: The numbers of the model's file that decide it.
        width: Pixels of the image.
        height: Pixels of the image.
        fitted: The width and the height that it gets, and then, where a family cuts images into tiles, how many columns
            and rows of them (0 and 0 where it is not cut). None where the reference refuses the image.
        error: What the reference says where it refuses the image.
    """

    settings: dict[str, Any]
    width: int
    height: int
    fitted: tuple[int, ...] | None
    error: str

    def __str__(self) -> str:
        return f"{self.width}x{self.height}-{'-'.join(map(str, self.settings.values()))}"


def load_cases(name: str) -> list[Case]:
    """Return the recorded conversations of a family, or the prompts of a text model."""
    description, arrays = _recording(name)
    return [_case(number, one, arrays) for number, one in enumerate(description["cases"])]


def load_fittings(family: str) -> list[Fitting]:
    """Return to which sizes the reference resizes images."""
    description, _ = _recording(family)
    return [
        Fitting(one["settings"], *one["size"], tuple(one["fitted"]) if one["fitted"] else None, one["error"])
        for one in description["fittings"]
    ]


@cache
def _recording(name: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    with np.load(_FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("description"))), arrays


def _case(number: int, one: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Case:
    own = {key.partition(".")[2]: values for key, values in arrays.items() if key.startswith(f"{number}.")}
    photos = [smooth_photo(*size, seed=seed) for size, seed in zip(one["sizes"], one["seeds"], strict=True)]
    return Case(
        one["name"],
        tuple(tuple(turn) for turn in one["messages"]),
        tuple(photos),
        one["settings"],
        tuple(own["tokens"].tolist()),
        own.get("features"),
        own.get("deepstack"),
        own.get("positions"),
        dict(zip(own["places"].tolist(), own["logits"], strict=True)),
        tuple(_pixels(own, f"pixels.{image}") for image in range(one["pixels"])),
    )


def _pixels(own: dict[str, npt.NDArray[Any]], key: str) -> SampledPixels:
    mean, std = own[f"{key}.moments"].tolist()
    shape = tuple(own[f"{key}.shape"].tolist())
    return SampledPixels(shape, mean, std, own[f"{key}.places"], own[f"{key}.values"])
