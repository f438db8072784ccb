"""A tiny Gemma 3: an image is always 16 tokens, which attend to each other.

Its vocabulary is byte-level BPE, where that of a real Gemma 3 is SentencePiece.

Source of names: https://github.com/ggml-org/llama.cpp/blob/master/conversion/gemma.py
"""

from __future__ import annotations

from olpipe.testing.vision.blocks import HALF, EncoderSizes, add_block, add_patches, encoder_metadata
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import WIDTH, Decoder
from olpipe.testing.vision.tokens import Words
from olpipe.testing.vision.weights import Tensors

SIZES = EncoderSizes(image_size=112, patch_size=14, layers=3, inner_width=144)
POOLED = 2
"""How many patches side by side become one token."""
WINDOW = 16

_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% elif part['type'] == 'text' %}{{ part['text'] | trim }}"
    "{% endif %}{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

WORDS = Words(
    special=(
        *("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    ),
    begin="<bos>",
    end="<end_of_turn>",
    padding="<pad>",
    chat_template=_TEMPLATE,
    add_begin=True,
    blank_line=True,
)
DECODER = Decoder(
    "gemma3",
    layers=7,
    head_size=32,
    head_norms=True,
    outer_norms=True,
    tied=True,
    metadata={
        "rope.freq_base": 1000000.0,
        "rope.freq_base_swa": 10000.0,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 8.0,
        "attention.sliding_window": WINDOW,
    },
)


def projector(seed: int) -> Content:
    """Return the file of the vision encoder.

    `mm.input_projection.weight` is (width of the encoder, width of the text model), not the other way round as the
    matrices of other layers.
    """
    metadata = encoder_metadata(SIZES, "gemma3", mean=HALF, std=HALF) | {
        "clip.use_gelu": True,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.projector.scale_factor": POOLED,
    }
    tensors = Tensors(seed)
    add_patches(tensors, SIZES, bias=True)
    tensors.matrix("v.position_embd", (SIZES.image_size // SIZES.patch_size) ** 2, SIZES.width)
    for layer in range(SIZES.layers):
        add_block(tensors, layer, SIZES)
    tensors.norm("v.post_ln", SIZES.width, bias=True)
    tensors.norm("mm.soft_emb_norm", SIZES.width)
    tensors.matrix("mm.input_projection", SIZES.width, WIDTH)
    return Content(metadata, tensors, {"mm.input_projection.weight": "F16"})
