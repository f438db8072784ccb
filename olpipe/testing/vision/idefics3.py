"""A tiny Idefics3 (SmolVLM): a llama that reads tiles of 64 x 64 pixels as 4 tokens each.

Source of names: https://github.com/ggml-org/llama.cpp/blob/master/conversion/smolvlm.py
"""

from __future__ import annotations

from olpipe.testing.vision.blocks import HALF, EncoderSizes, add_block, add_patches, encoder_metadata
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import WIDTH, Decoder
from olpipe.testing.vision.tokens import Words
from olpipe.testing.vision.weights import Tensors

SIZES = EncoderSizes(image_size=64, patch_size=8, layers=3, inner_width=144)
MERGE = 4
"""How many patches side by side become one token."""
LONGEST_EDGE = 256

_MOST_TILES = 4
_TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, _MOST_TILES + 1) for column in range(1, _MOST_TILES + 1))

# A space stands between the role and a text, but not between the role and an image.
_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['content'][0]['type'] != 'image' %}{{ ' ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)

WORDS = Words(
    special=("<fake_token_around_image>", "<image>", "<global-img>", *_TILES, "<end_of_utterance>"),
    begin="<|im_start|>",
    end="<end_of_utterance>",
    padding="<|im_end|>",
    chat_template=_TEMPLATE,
    blank_line=True,
)
DECODER = Decoder("llama", layers=3, metadata={"rope.freq_base": 100000.0, "rope.dimension_count": 16})


def projector(seed: int) -> Content:
    """Return the file of the vision encoder."""
    metadata = encoder_metadata(SIZES, "idefics3", mean=HALF, std=HALF) | {
        "clip.use_gelu": True,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.projector.scale_factor": MERGE,
        "clip.vision.preproc_image_size": LONGEST_EDGE,
    }
    tensors = Tensors(seed)
    add_patches(tensors, SIZES, bias=True)
    tensors.matrix("v.position_embd", (SIZES.image_size // SIZES.patch_size) ** 2, SIZES.width)
    for layer in range(SIZES.layers):
        add_block(tensors, layer, SIZES)
    tensors.norm("v.post_ln", SIZES.width, bias=True)
    tensors.matrix("mm.model.fc", WIDTH, SIZES.width * MERGE**2)
    return Content(metadata, tensors)
