"""Qwen2.5-VL in `transformers`."""

from __future__ import annotations

import transformers
from recording import qwen_vl
from recording.conversations import conversations
from recording.processors import tokenizer
from recording.qwen_vl import CAUSAL, features, fitted, image_token  # noqa: F401 - the recorder takes them from here
from recording.weights import decoder, field, load, qwen_encoder, read
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

PATCH = 14
CONVERSATIONS = conversations(square=(112, 112), wide=(280, 84), tall=(84, 252), other=(150, 100))
FITTINGS = [
    {"cell": 28, "least_pixels": least, "most_pixels": most}
    for least, most in ((3136, 12845056), (6272, 50176), (200704, 1003520))
]
_NAMES = [
    (r"v\.patch_embd\.weight", "frame.0"),
    (r"v\.patch_embd\.weight\.1", "frame.1"),
    (r"v\.blk\.(\d+)\.ln([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    (r"v\.blk\.(\d+)\.attn_([qkv])\.(\w+)", r"blocks.\1.attn.\2.\3"),
    (r"v\.blk\.(\d+)\.attn_out\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"v\.blk\.(\d+)\.ffn_(gate|up|down)\.(\w+)", r"blocks.\1.mlp.\2_proj.\3"),
    (r"v\.post_ln\.(\w+)", r"merger.ln_q.\1"),
    (r"mm\.([02])\.(\w+)", r"merger.mlp.\1.\2"),
]


def model(text, projector):
    """Return the model."""
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(field(text, "tokenizer.ggml.tokens")),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]},
            "rms_norm_eps": 1e-6,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 96,
            "intermediate_size": 108,
            "num_heads": 4,
            "patch_size": PATCH,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],
            "out_hidden_size": 64,
        },
        tie_word_embeddings=False,
        attn_implementation="eager",
        **qwen_vl.ids(text),
    )
    state = decoder(text, "model.language_model.") | qwen_encoder(read(projector), "model.visual.", _NAMES)
    return load(transformers.Qwen2_5_VLForConditionalGeneration(config), qwen_vl.fused(state))


def processor(text, settings):
    """Return the processor, which resizes by Pillow."""
    assert not settings
    words = tokenizer(text)
    images = qwen_vl.images(patch=PATCH, least=6272, most=50176, mean=OPENAI_CLIP_MEAN, std=OPENAI_CLIP_STD)
    films = transformers.Qwen2VLVideoProcessor()
    return transformers.Qwen2_5_VLProcessor(images, words, films, chat_template=words.chat_template)


def seen(inputs):
    """Return the pixels of each image, (1, 3, height, width)."""
    return qwen_vl.seen(inputs, PATCH)
