"""What the families Qwen2.5-VL and Qwen3-VL have in common: how images are fitted, and where they stand in a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import layer_shapes
from olpipe.errors import ModelCorrupt
from olpipe.interfaces.vision import Family, Fitted, Layout, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_START, _PLACEHOLDER, _END = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"

# The content of a message may be a text or a list of parts. What stands before the first message replaces `FIRST`.
_CHATML = """\
{%- for message in messages -%}
    {{- FIRST -}}
    {{- '<|im_start|>' + message['role'] + '\\n' -}}
    {%- if message['content'] is string -%}
        {{- message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {%- if part['type'] == 'image' -%}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif part['type'] == 'text' -%}
                {{- part['text'] -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


class QwenVL(Family):
    """What both families do alike."""

    image_text = _START + _PLACEHOLDER + _END
    placeholder = _PLACEHOLDER

    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Choose a size of whole cells; see `fit_cells`."""
        from olpipe.families.patches import fit_cells

        return fit_cells(config, width, height, tokens)

    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return the placeholders between the two marks of an image."""
        return Layout(_START, (fitted.tokens,), _END)

    def positions(self, config: VisionConfig, fitted: Fitted) -> npt.NDArray[np.int64]:
        """Return time, row and column of each token, (3, tokens)."""
        from olpipe.families.patches import Grid

        return Grid.of(config, fitted).positions()


def chat_template(system: str = "") -> str:
    """Return the chat template of Qwen's models.

    Args:
        system: What the model is told first in a conversation that has no system message; empty for nothing.
    """
    first = f"'<|im_start|>system\\n{system}<|im_end|>\\n' if loop.first and message['role'] != 'system' else ''"
    return _CHATML.replace("FIRST", first if system else "''")


def read_sizes(family: str, metadata: VisionMetadata, tensors: VisionTensors) -> VisionConfig:
    """Read the sizes that both families have.

    Raises:
        ModelCorrupt: A size is missing, or two of them contradict each other.
    """
    width, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
    if width % (4 * heads):
        raise ModelCorrupt(f"the vision encoder's width `{width}` cannot be divided among `{heads}` heads and 4 angles")
    return VisionConfig(
        family=family,
        image_size=metadata.size("image_size"),
        patch_size=metadata.size("patch_size", limit=1 << 10),
        merge=metadata.size("spatial_merge_size", default=2, limit=1 << 4),
        layers=metadata.size("block_count", limit=1 << 10),
        heads=heads,
        width=width,
        inner_width=metadata.size("feed_forward_length"),
        output_width=rows_of(tensors, "mm.2.weight"),
        epsilon=metadata.positive("attention.layer_norm_epsilon"),
        mean=metadata.colour("image_mean"),
        std=metadata.spread("image_std"),
        least_pixels=metadata.size("image_min_pixels", limit=1 << 40),
        most_pixels=metadata.size("image_max_pixels", limit=1 << 40),
    )


def rows_of(tensors: VisionTensors, name: str) -> int:
    """Return the first dimension of a tensor, and 0 where there is no such tensor."""
    return tensors.shape(name)[0] if tensors.has(name) else 0


def shared_shapes(tensors: VisionTensors, config: VisionConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors that both families have, with their shapes.

    Queries, keys and values may be in one matrix, `attn_qkv`, or apart.
    """
    width, inner = config.width, config.inner_width
    token_width = config.merge**2 * width
    patch = (width, 3, config.patch_size, config.patch_size)
    shapes: dict[str, tuple[int, ...]] = {"v.patch_embd.weight": patch, "v.patch_embd.weight.1": patch}
    for layer in range(config.layers):
        block = f"v.blk.{layer}"
        if tensors.has(f"{block}.attn_qkv.weight"):
            shapes |= layer_shapes(f"{block}.attn_qkv", 3 * width, width)
        else:
            for part in "qkv":
                shapes |= layer_shapes(f"{block}.attn_{part}", width, width)
        shapes |= layer_shapes(f"{block}.attn_out", width, width)
        shapes |= layer_shapes(f"{block}.ffn_up", inner, width) | layer_shapes(f"{block}.ffn_down", width, inner)
    return (
        shapes | layer_shapes("mm.0", token_width, token_width) | layer_shapes("mm.2", config.output_width, token_width)
    )
