"""A tiny Qwen2.5-VL: two of its four vision blocks attend to windows of 112 x 112 pixels only.

Source of names: https://github.com/ggml-org/llama.cpp/blob/master/conversion/qwenvl.py
"""

from __future__ import annotations

from olpipe.testing.vision import qwen3_vl
from olpipe.testing.vision.blocks import (
    CLIP_MEAN,
    CLIP_STD,
    EncoderSizes,
    add_block,
    add_patches,
    add_two_layers,
    encoder_metadata,
)
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import Decoder
from olpipe.testing.vision.weights import Tensors

SIZES = EncoderSizes(image_size=560, patch_size=14, layers=4, inner_width=108)
MERGE = 2
FULL_EVERY = 2
"""One block in so many attends to the whole image."""
SECTIONS = (2, 3, 3)
LEAST_PIXELS, MOST_PIXELS = 8 * 28 * 28, 64 * 28 * 28

WORDS = qwen3_vl.WORDS
DECODER = Decoder(
    "qwen2vl",
    layers=3,
    biases=True,
    metadata={"rope.freq_base": 1000000.0, "rope.dimension_sections": [*SECTIONS, 0]},
)


def projector(seed: int) -> Content:
    """Return the file of the vision encoder."""
    metadata = encoder_metadata(SIZES, "qwen2.5vl_merger", mean=CLIP_MEAN, std=CLIP_STD) | {
        "clip.use_silu": True,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.n_wa_pattern": FULL_EVERY,
        "clip.vision.image_min_pixels": LEAST_PIXELS,
        "clip.vision.image_max_pixels": MOST_PIXELS,
    }
    tensors = Tensors(seed)
    add_patches(tensors, SIZES, bias=False, frames=2)
    for layer in range(SIZES.layers):
        add_block(tensors, layer, SIZES, norm_bias=False, gated=True)
    tensors.norm("v.post_ln", SIZES.width)
    merged = SIZES.width * MERGE**2
    add_two_layers(tensors, "mm.0", "mm.2", inputs=merged, inner=merged)
    return Content(metadata, tensors)
