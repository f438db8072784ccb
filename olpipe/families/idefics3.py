"""The family Idefics3, to which SmolVLM belongs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors
from olpipe.families.tiles import read_tile_sizes, siglip_shapes, size_of, tile_tokens
from olpipe.imaging.fitting import Resampling, normalised, resized
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_AROUND, _OVERVIEW, _IMAGE = "<fake_token_around_image>", "<global-img>", "<image>"

_USUAL_TILES = 4  # side by side at most, where the file does not say
_MOST_TILES = 6  # the tokenizer has no marks for more rows and columns

_TEMPLATE = """\
{{- '<|im_start|>' -}}
{%- for message in messages -%}
    {{- message['role'] | capitalize + ':' -}}
    {%- if message['content'] is string -%}
        {{- ' ' + message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {%- if part['type'] == 'image' -%}
                {{- '<image>' -}}
            {%- elif part['type'] == 'text' -%}
                {{- (' ' if loop.first else '') + part['text'] -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<end_of_utterance>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- 'Assistant:' -}}
{%- endif -%}
"""


class Idefics3(Family):
    """Idefics3 and SmolVLM. An image is cut into tiles, and is shown once more as a whole.

    Source: https://github.com/huggingface/transformers/blob/main/src/transformers/models/idefics3
    """

    name = "Idefics3"
    version = "1"
    projectors = ("idefics3",)
    image_text = _IMAGE
    placeholder = _IMAGE
    template = _TEMPLATE
    usual_tokens = 320  # of a SmolVLM: two rows of two tiles, and the whole image

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes and check the tensors."""
        values, projection = VisionMetadata(metadata), "mm.model.fc.weight"
        merge = values.size("projector.scale_factor", limit=1 << 4)
        config = read_tile_sizes(values, family=self.name, merge=merge, output_width=size_of(tensors, projection, 0))
        edge = values.size("preproc_image_size", default=_USUAL_TILES * config.image_size)
        config = replace(config, most_pixels=edge * edge)
        shapes = siglip_shapes(config) | {projection: (config.output_width, merge * merge * config.width)}
        check_tensors(tensors, shapes, {}, family=self.name)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder."""
        from olpipe.convert.towers.siglip import write_idefics3

        write_idefics3(tensors, config, path, eight_bits=eight_bits, done=done)

    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Choose how many tiles the longer side gets. The other side gets as many as keep the proportions best.

        The reference enlarges every image to the most tiles. Here, an image gets as many as it can fill, as long as
        there are tokens for them. The tiles are whole, so the proportions change a little.
        """
        side, each = config.image_size, tile_tokens(config)
        most = min(math.isqrt(config.most_pixels) // side, _MOST_TILES, -(-max(width, height) // side))
        for count in range(most, 1, -1):
            columns, rows = (-(-size // side) for size in _scaled(width, height, count * side))
            if (columns * rows + 1) * each <= tokens:
                return Fitted(columns * side, rows * side, columns, rows, (columns * rows + 1) * each)
        return Fitted(side, side, 1, 1, each)

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the tiles row by row, and then the whole image as one tile; (tiles, 3, image size, image size)."""
        import numpy as np

        # 1. The image in its whole size. The reference first keeps its proportions, and then makes whole tiles of it.
        side, height, width = config.image_size, *pixels.shape[:2]
        kept = resized(pixels, *_scaled(width, height, max(fitted.width, fitted.height)), Resampling.LANCZOS)
        large = resized(kept, fitted.width, fitted.height, Resampling.LANCZOS)
        # 2. The tiles. The last one shows the whole image.
        places = [(row, column) for row in range(fitted.rows) for column in range(fitted.columns)]
        cut = [large[row * side :, column * side :][:side, :side] for row, column in places if len(places) > 1]
        shown = [*cut, resized(large, side, side, Resampling.LANCZOS)]
        tiles = np.empty((len(shown), 3, side, side), np.float32)
        for tile, out in zip(shown, tiles, strict=True):
            normalised(tile, config.mean, config.std, out=out)
        return {"pixels": tiles}

    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return the tiles row by row, each behind a mark with its row and column. The whole image comes last."""
        each, columns, rows = tile_tokens(config), fitted.columns, fitted.rows
        if columns * rows == 1:
            return Layout(_AROUND + _OVERVIEW, (each,), _AROUND)
        marks = [f"{_AROUND}<row_{row}_col_{column}>" for row in range(1, rows + 1) for column in range(1, columns + 1)]
        # The first tile of a row comes behind the line break of the row before, and so does the whole image.
        marks[columns::columns] = [f"\n{mark}" for mark in marks[columns::columns]]
        marks.append(f"\n\n{_AROUND}{_OVERVIEW}")
        body: list[str | int] = [each]
        for mark in marks[1:]:
            body += [mark, each]
        return Layout(marks[0], tuple(body), _AROUND)


def _scaled(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the width and the height of an image when its longer side is scaled, as the reference rounds them.

    The other side is rounded down to whole pixels, and then up to an even number of them.

    Args:
        width: Pixels of the image.
        height: Pixels of the image.
        longest: Pixels of the longer side after that.
    """
    proportion = width / height
    other = int(longest / proportion if width >= height else longest * proportion)
    other = max(1, other + other % 2)
    return (longest, other) if width >= height else (other, longest)
