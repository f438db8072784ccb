"""A tiny LLaVA 1.5: a llama that reads the 25 patches of a CLIP encoder.

The names are those of old files. They call the first matrix of a feed-forward block `ffn_down`, and the second one
`ffn_up`. The features come from the last block but one, so the last block is not in the file, and all blocks that are
in it are used. `clip.vision.projection_dim` is a size of CLIP. It says nothing about the width of the features.

Source of names:
https://github.com/ggml-org/llama.cpp/blob/master/tools/mtmd/legacy-models/convert_image_encoder_to_gguf.py
"""

from __future__ import annotations

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
from olpipe.testing.vision.decoders import WIDTH, Decoder
from olpipe.testing.vision.tokens import Words
from olpipe.testing.vision.weights import Tensors

SIZES = EncoderSizes(image_size=70, patch_size=14, layers=3, inner_width=160)

_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | upper }}: "
    "{% if message['content'] is string %}{{ message['content'] }} {% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }} {% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

WORDS = Words(
    special=("<s>", "</s>", "<pad>", "<image>"),
    begin="<s>",
    end="</s>",
    padding="<pad>",
    chat_template=_TEMPLATE,
    add_begin=True,
)
DECODER = Decoder("llama", layers=3, metadata={"rope.freq_base": 10000.0, "rope.dimension_count": 16})


def projector(seed: int) -> Content:
    """Return the file of the vision encoder."""
    metadata = encoder_metadata(SIZES, "mlp", mean=CLIP_MEAN, std=CLIP_STD) | {
        "clip.has_text_encoder": False,
        "clip.has_llava_projector": True,
        "clip.use_gelu": False,
        "clip.vision.projection_dim": 32,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
    }
    tensors = Tensors(seed)
    tensors.vector("v.class_embd", SIZES.width)
    add_patches(tensors, SIZES, bias=False)
    tensors.matrix("v.position_embd", 1 + (SIZES.image_size // SIZES.patch_size) ** 2, SIZES.width)
    tensors.norm("v.pre_ln", SIZES.width, bias=True)
    for layer in range(SIZES.layers):
        add_block(tensors, layer, SIZES)
        for kind in ("weight", "bias"):
            up, down = (f"v.blk.{layer}.ffn_{part}.{kind}" for part in ("up", "down"))
            tensors[up], tensors[down] = tensors[down], tensors[up]
    add_two_layers(tensors, "mm.0", "mm.2", inputs=SIZES.width, inner=WIDTH)
    return Content(metadata, tensors, {"v.patch_embd.weight": "F16"})
