"""The families LLaVA 1.5 and LLaVA 1.6, and other models that were made in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import block_shapes, check_tensors, layer_shapes, norm_shapes
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.tiles import one_tile, read_tile_sizes, size_of, tile_shapes, tile_tokens
from olpipe.families.turns import IMAGE
from olpipe.imaging.fitting import Resampling, resized
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_IMAGE = "<image>"

_LONGEST_SIDE = 4096  # of an image that is padded to a square, in pixels: it bounds the memory for a narrow image

# A model whose vocabulary has no token for images gets texts, with a mark at the place of each image.
_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}
        {{- 'USER: ' -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- 'ASSISTANT: ' -}}
    {%- endif -%}
    {%- if message['content'] is string -%}
        {{- message['content'] | replace('MARK', 'MARK\\n') -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {%- if part['type'] == 'image' -%}
                {{- '<image>\\n' -}}
            {%- elif part['type'] == 'text' -%}
                {{- part['text'] -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- eos_token if message['role'] == 'assistant' else ' ' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- 'ASSISTANT:' -}}
{%- endif -%}
""".replace("MARK", IMAGE)


class Llava(Family):
    """LLaVA 1.5, and models like it. An image becomes one square tile.

    The models were trained with images that are padded to a square. The padding has the mean colour of all photos. Some
    libraries cut the middle out of an image instead. Its edges would be lost then, so this is not done here.
    Source: https://github.com/haotian-liu/LLaVA/blob/main/llava/mm_utils.py, `expand2square`
    """

    name = "LLaVA 1.5"
    version = "1"
    projectors: tuple[str, ...] = ("mlp",)
    image_text = _IMAGE
    placeholder = _IMAGE
    needs_placeholder = False  # the text models of most files have no such token
    template = _TEMPLATE
    usual_tokens = 576

    # LLaVA 1.5 was trained to say where one described thing is, as four fractions in no object. People who read its
    # data disagree whether these are parts of the padded square or of the photo. Models like it were trained in other
    # ways.
    # Source: https://github.com/haotian-liu/LLaVA/issues/606, https://github.com/haotian-liu/LLaVA/issues/822
    boxes = None

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes and check the tensors. A file with `image_grid_pinpoints` is a LLaVA 1.6."""
        values = VisionMetadata(metadata)
        config = read_tile_sizes(
            values,
            family=LLAVA_1_6.name if "image_grid_pinpoints" in metadata else self.name,
            merge=1,
            output_width=size_of(tensors, "mm.2.weight", 0),
        )
        stored = config.layers
        config = replace(
            config,
            layers=_used_layers(values, stored, whole=tensors.has("v.post_ln.weight")),
            activation="gelu" if values.flag("use_gelu") else "quick_gelu",
        )
        check_tensors(tensors, _needed(config, tensors), _unused(config, stored), family=config.family)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder."""
        from olpipe.convert.towers.clip import write_llava

        write_llava(tensors, config, path, eight_bits=eight_bits, done=done)

    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Return the only size that there is."""
        return Fitted(config.image_size, config.image_size, 1, 1, tile_tokens(config))

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the image with its padding as one tile, (1, 3, image size, image size)."""
        square = _padded(pixels, tuple(int(part * 255) for part in config.mean))
        return one_tile(config, resized(square, fitted.width, fitted.height, Resampling.BICUBIC))

    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return the placeholders, which stand between no marks."""
        return Layout("", (fitted.tokens,), "")


class Llava16(Llava):
    """LLaVA 1.6. It can see an image in tiles, too, but here it sees the whole image only, in one square.

    The square of the whole image is not padded in this version. The image is stretched.
    Source: https://github.com/haotian-liu/LLaVA/blob/main/llava/mm_utils.py, `process_anyres_image`
    """

    name = "LLaVA 1.6"
    projectors = ()

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the stretched image as one tile, (1, 3, image size, image size)."""
        return one_tile(config, resized(pixels, fitted.width, fitted.height, Resampling.BICUBIC))


LLAVA_1_5, LLAVA_1_6 = Llava(), Llava16()


def _used_layers(values: VisionMetadata, stored: int, *, whole: bool) -> int:
    """Return how many blocks the features have gone through.

    These models take what comes out of the last block but one. Their files usually do not hold the last block, so all
    blocks of the file are used. Some files name the block instead. llama.cpp leaves out one block more, but the models
    were not trained like that.
    Source: https://github.com/ggml-org/llama.cpp/issues/25817

    Args:
        values: What the file says.
        stored: How many blocks the file holds.
        whole: Whether the file holds the norm behind the last block, which such a file has no use for. Then it holds
            the last block, too.
    """
    named = values.layers("feature_layer")
    if named is None:
        return stored - 1 if whole and stored > 1 else stored
    if len(named) != 1:
        raise ModelUnsupported(
            f"the vision encoder gives the outputs of {len(named)} blocks together, which LLaVA does not"
        )
    if not 1 <= named[0] <= stored:
        raise ModelCorrupt(f"the vision encoder has `{stored}` blocks, but `feature_layer` is `{named[0]}`")
    return named[0]


def _needed(config: VisionConfig, tensors: VisionTensors) -> dict[str, tuple[int, ...]]:
    """Return the tensors that must be there, with their shapes."""
    inner = size_of(tensors, "mm.0.weight", 0)
    return (
        tile_shapes(config, more_places=1)
        | {"v.class_embd": (config.width,)}
        | norm_shapes("v.pre_ln", config.width)
        | layer_shapes("mm.0", inner, config.width)
        | layer_shapes("mm.2", config.output_width, inner)
    )


def _unused(config: VisionConfig, stored: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors that may be there although nothing here needs them, with their shapes."""
    shapes = norm_shapes("v.post_ln", config.width)
    for layer in range(config.layers, stored):
        shapes |= block_shapes(f"v.blk.{layer}", config.width, config.inner_width)
    if config.family == LLAVA_1_6.name:
        # What stands at the end of a row of tiles.
        shapes |= dict.fromkeys(("model.image_newline", "v.image_newline"), (config.output_width,))
    return shapes


def _padded(pixels: npt.NDArray[np.uint8], colour: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return an image, (H, W, 3), in the middle of a square of a colour."""
    import numpy as np

    height, width = pixels.shape[:2]
    if width == height:
        return pixels
    if (scale := max(width, height) / _LONGEST_SIDE) > 1:
        width, height = (max(1, round(size / scale)) for size in (width, height))
        pixels = resized(pixels, width, height, Resampling.BICUBIC)
    side = max(width, height)
    square = np.full((side, side, 3), colour, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
