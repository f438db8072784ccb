"""The family Gemma 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors
from olpipe.families.tiles import one_tile, read_tile_sizes, siglip_shapes, size_of, tile_tokens
from olpipe.imaging.fitting import Resampling, resized
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_USUAL_MERGE = 4  # in all models of the family; only files of other makers say something else

_TEMPLATE = """\
{{- bos_token -}}
{%- set told = namespace(text='') -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- if message['content'] is string -%}
            {%- set told.text = told.text + message['content'] + '\\n\\n' -%}
        {%- else -%}
            {%- for part in message['content'] if part['type'] == 'text' -%}
                {%- set told.text = told.text + part['text'] + '\\n\\n' -%}
            {%- endfor -%}
        {%- endif -%}
    {%- else -%}
        {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' -}}
        {{- told.text -}}
        {%- set told.text = '' -%}
        {%- if message['content'] is string -%}
            {{- message['content'] | trim -}}
        {%- else -%}
            {%- for part in message['content'] -%}
                {%- if part['type'] == 'image' -%}
                    {{- '<start_of_image>' -}}
                {%- elif part['type'] == 'text' -%}
                    {{- part['text'] | trim -}}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
        {{- '<end_of_turn>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<start_of_turn>model\\n' -}}
{%- endif -%}
"""


class Gemma3(Family):
    """Gemma 3. Every image is stretched to one square, and becomes 256 tokens that all attend to each other.

    Source: https://github.com/huggingface/transformers/blob/main/src/transformers/models/gemma3
    """

    name = "Gemma 3"
    version = "1"
    projectors = ("gemma3",)
    image_text = "<start_of_image>"
    placeholder = "<image_soft_token>"
    needs_placeholder = False  # files of Ollama leave it out; it is the last token
    template = _TEMPLATE
    mutual = True

    # It has no dialect for boxes: its makers do not say that it was trained to find things.
    # Source: https://huggingface.co/google/gemma-3-4b-it/discussions/38

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes and check the tensors."""
        values, projection = VisionMetadata(metadata), "mm.input_projection.weight"
        config = read_tile_sizes(
            values,
            family=self.name,
            merge=values.size("projector.scale_factor", default=_USUAL_MERGE, limit=1 << 6),
            output_width=size_of(tensors, projection, 1),
        )
        shapes = siglip_shapes(config) | {
            projection: (config.width, config.output_width),
            "mm.soft_emb_norm.weight": (config.width,),
        }
        check_tensors(tensors, shapes, {}, family=self.name)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder."""
        from olpipe.convert.towers.siglip import write_gemma3

        write_gemma3(tensors, config, path, eight_bits=eight_bits, done=done)

    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Return the only size that there is."""
        return Fitted(config.image_size, config.image_size, 1, 1, tile_tokens(config))

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the image as one tile, (1, 3, image size, image size)."""
        return one_tile(config, resized(pixels, fitted.width, fitted.height, Resampling.BILINEAR))

    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return the placeholders between two marks, with an empty line on both sides."""
        return Layout("\n\n<start_of_image>", (fitted.tokens,), "<end_of_image>\n\n")
