"""Prepare images for packages of Phi-3 vision and Phi-3.5 vision.

The encoder sees an image twice: cut into square tiles, and shrunk to one tile. The image is enlarged or shrunk until
it fills as many tiles as it may have.
Source: https://huggingface.co/microsoft/Phi-3.5-vision-instruct/blob/main/processing_phi3_v.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.package_eyes import PackageEyes, Tensors
from olpipe.default_plugins.ort_genai.vision_files import PIXELS, SIZES, VisionFiles
from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import TemplateFiles
from olpipe.image import ShownImage
from olpipe.imaging.fitting import Resampling, normalised, resized
from olpipe.interfaces.vision import Fitted, Layout

if TYPE_CHECKING:
    import numpy.typing as npt

SIDE = 336
"""The side of a tile, in pixels."""

_MOST_TILES = 16
_CELLS = 12  # tokens side by side of a tile, and below each other
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_WHITE = 255

_BICUBIC = np.array([-0.09375, 0.59375, 0.59375, -0.09375], np.float32)
"""The weights of four pixels for the point in their middle, where cubic curves have the parameter -0.75."""

_TEMPLATE = """\
{%- for message in messages -%}
    {{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>\\n' -}}
{%- endif -%}
"""


class Phi3VEyes(PackageEyes):
    """Prepares images for one package."""

    # From this token on, the model turns positions in another way. The runtime does not compute anew what it has
    # computed before, so a sequence that goes beyond mixes both.
    # Source: https://github.com/microsoft/onnxruntime-genai/blob/main/src/python/py/models/builders/phi.py
    most_context = 4096
    rewinds = False

    def __init__(self, files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles) -> None:
        """Set up for one package.

        Args:
            files: What its files say of its vision encoder.
            vocabulary: Its tokens.
            template: What its files say of its chat template.

        Raises:
            ModelCorrupt: The files contradict each other, or the type of the package.
        """
        # 1. How many tiles there may be.
        shape = files.pixels.shape  # (images, tiles, 3, side, side)
        if len(shape) != 5 or any(side not in (None, SIDE) for side in shape[3:]) or shape[1] == 1:
            raise ModelCorrupt(f"the vision encoder of `{files.name}` takes no images in tiles of `{SIDE}` pixels")
        self._held = shape[1]  # how many tiles the graph takes for each image; None for as many as there are
        self._most = _MOST_TILES if self._held is None else min(_MOST_TILES, self._held - 1)
        settings = files.steps.get("Phi3ImageTransform", {})
        usual = files.side(settings.get("num_crops", _MOST_TILES), "number of tiles")
        self.tokens = _most_tokens(min(usual, self._most))
        # 2. The model was trained with texts that are cut at the images. Each piece begins with the token that begins a
        #    text, and so does the first one, though the template does not write it.
        template = template.or_else(_TEMPLATE)
        self._begin = template.special_tokens.get("bos_token", "") if template.adds_begin else ""
        if self._begin and not template.is_plain:
            template = replace(template, source="{{ bos_token }}" + template.source)
        super().__init__(files, vocabulary, template)

    def fit(self, width: int, height: int, tokens: int) -> Fitted:
        """Choose the most tiles that give no more tokens than allowed, and the size that fills them."""
        for most in range(self._most, 1, -1):
            fitted = _fitted(width, height, most)
            if fitted.tokens <= tokens:
                return fitted
        return _fitted(width, height, 1)

    def layout(self, fitted: Fitted) -> Layout:
        """Return the placeholders. A line break follows, and the token that begins a text."""
        return Layout("", (fitted.tokens,), self._begin + "\n")

    def shown(self, fitted: Fitted) -> ShownImage:
        """Return an image with its white margins."""
        width, height = SIDE * fitted.columns, SIDE * fitted.rows
        left, top = (width - fitted.width) // 2, (height - fitted.height) // 2
        margins = left, top, width - fitted.width - left, height - fitted.height - top
        return ShownImage(width, height, fitted.tokens, margins)

    def tensors(self, pixels: npt.NDArray[np.uint8], fitted: Fitted) -> Tensors:
        """Return the small copy and the tiles behind it, (1, 1 + tiles, 3, side, side), and the size of all tiles."""
        # 1. The image in its new size, with white margins; (3, H, W). It lies on its side meanwhile if it is upright.
        #    So every value is rounded as in the reference.
        upright = pixels.shape[1] < pixels.shape[0]
        flat = pixels.swapaxes(0, 1) if upright else pixels
        long, short = (fitted.height, fitted.width) if upright else (fitted.width, fitted.height)
        flat = resized(np.ascontiguousarray(flat), long, short, Resampling.BILINEAR)
        left, top, right, bottom = self.shown(fitted).margins
        margins = ((top, bottom), (left, right), (0, 0))
        padded = np.pad(flat.swapaxes(0, 1) if upright else flat, margins, constant_values=_WHITE)
        planes = normalised(padded, _MEAN, _STD)
        # 2. The tiles, row by row.
        cut = planes.reshape(3, fitted.rows, SIDE, fitted.columns, SIDE)
        tiles = cut.transpose(1, 3, 0, 2, 4).reshape(-1, 3, SIDE, SIDE)
        small = _shrunk(_shrunk(planes, 1), 2)
        sizes = np.array([[SIDE * fitted.rows, SIDE * fitted.columns]])
        return {PIXELS: np.concatenate([small[None], tiles])[None], SIZES: sizes}

    def joined(self, images: Sequence[Tensors]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the inputs for all images. Those with fewer tiles are filled up with zeros."""
        held = self._held or max(image[PIXELS].shape[1] for image in images)
        filled = [
            {**image, PIXELS: np.pad(image[PIXELS], ((0, 0), (0, held - image[PIXELS].shape[1]), *[(0, 0)] * 3))}
            for image in images
        ]
        return super().joined(filled)


def _fitted(width: int, height: int, most: int) -> Fitted:
    """Return the size that fills at most so many tiles.

    The longer side fills its tiles, and the shorter one may need margins. It gets at least one pixel, where the
    reference would give none to a very long image.
    """
    ratio = max(width, height) / min(width, height)
    long = next(count for count in range(most, 0, -1) if _fills(count, ratio) <= most)
    length = long * SIDE
    breadth = max(1, int(length / ratio))
    short = math.ceil(breadth / SIDE)
    if width < height:
        return Fitted(breadth, length, short, long, _tokens(short, long))
    return Fitted(length, breadth, long, short, _tokens(long, short))


def _fills(long: int, ratio: float) -> int:
    """Return how many tiles an image needs whose longer side fills so many."""
    return long * math.ceil(long / ratio)


def _tokens(columns: int, rows: int) -> int:
    """Return how many tokens an image becomes: its tiles, its small copy, and a mark for each line and between both."""
    return (columns * rows + 1) * _CELLS**2 + 1 + (rows + 1) * _CELLS


def _most_tokens(tiles: int) -> int:
    """Return how many tokens so many tiles become at most."""
    return _tokens(1, tiles)


def _shrunk(planes: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Shrink one axis of an image, (3, H, W), to the side of a tile, of which it is a multiple.

    A new pixel is the value of a cubic curve at one point, and no mean over all the old pixels that it covers. So it is
    in the reference.
    """
    step = planes.shape[axis] // SIDE
    middles = np.arange(SIDE) * step + step // 2
    shrunk: npt.NDArray[np.float32] = planes.take(middles, axis)
    if step % 2 == 0:  # the point lies between two pixels, and no longer in the middle of one
        around = [planes.take((middles + offset).clip(0, planes.shape[axis] - 1), axis) for offset in (-2, -1, 0, 1)]
        shrunk = np.tensordot(_BICUBIC, np.stack(around), axes=1)
    return shrunk
