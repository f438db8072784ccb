"""A tiny Qwen3-VL: three blocks of its vision encoder also feed the first layers of the text model.

Source of names: https://github.com/ggml-org/llama.cpp/blob/master/conversion/qwen3vl.py
"""

from __future__ import annotations

from olpipe.testing.vision.blocks import (
    HALF,
    EncoderSizes,
    add_block,
    add_patches,
    add_two_layers,
    encoder_metadata,
)
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import Decoder
from olpipe.testing.vision.tokens import Words
from olpipe.testing.vision.weights import Tensors

SIZES = EncoderSizes(image_size=128, patch_size=16, layers=4, inner_width=144)
DEEPSTACK = (0, 2, 3)
MERGE = 2
SECTIONS = (6, 5, 5)
LEAST_PIXELS, MOST_PIXELS = 8 * 32 * 32, 64 * 32 * 32

_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

WORDS = Words(
    special=("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
    begin="<|endoftext|>",
    end="<|im_end|>",
    padding="<|endoftext|>",
    chat_template=_TEMPLATE,
    pre_tokenizer="qwen2",
)
DECODER = Decoder(
    "qwen3vl",
    layers=4,
    head_size=32,
    head_norms=True,
    tied=True,
    metadata={
        "rope.freq_base": 5000000.0,
        "rope.dimension_sections": [*SECTIONS, 0],
        "n_deepstack_layers": len(DEEPSTACK),
    },
)


def projector(seed: int) -> Content:
    """Return the file of the vision encoder."""
    metadata = encoder_metadata(SIZES, "qwen3vl_merger", mean=HALF, std=HALF) | {
        "clip.use_gelu": True,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.spatial_merge_size": MERGE,
        "clip.vision.is_deepstack_layers": [layer in DEEPSTACK for layer in range(SIZES.layers)],
        "clip.vision.image_min_pixels": LEAST_PIXELS,
        "clip.vision.image_max_pixels": MOST_PIXELS,
    }
    tensors = Tensors(seed)
    add_patches(tensors, SIZES, bias=True, frames=2)
    tensors.matrix("v.position_embd", (SIZES.image_size // SIZES.patch_size) ** 2, SIZES.width)
    for layer in range(SIZES.layers):
        add_block(tensors, layer, SIZES, fused=True)
    merged = SIZES.width * MERGE**2
    for layer in DEEPSTACK:
        deepstack = f"v.deepstack.{layer}"
        tensors.norm(f"{deepstack}.norm", merged, bias=True)
        add_two_layers(tensors, f"{deepstack}.fc1", f"{deepstack}.fc2", inputs=merged, inner=merged)
    tensors.norm("v.post_ln", SIZES.width, bias=True)
    add_two_layers(tensors, "mm.0", "mm.2", inputs=merged, inner=merged)
    return Content(metadata, tensors)
