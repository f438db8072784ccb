"""Qwen3-VL in `transformers`."""

from __future__ import annotations

import transformers
from recording import qwen_vl
from recording.conversations import conversations
from recording.processors import tokenizer
from recording.qwen_vl import CAUSAL, features, fitted, image_token  # noqa: F401 - the recorder takes them from here
from recording.weights import decoder, field, load, qwen_encoder, read

PATCH = 16
CONVERSATIONS = conversations(square=(128, 128), wide=(256, 96), tall=(96, 224), other=(150, 100))
FITTINGS = [
    {"cell": 32, "least_pixels": least, "most_pixels": most}
    for least, most in ((65536, 16777216), (8192, 65536), (65536, 262144))
]
_NAMES = [
    (r"v\.patch_embd\.weight", "frame.0"),
    (r"v\.patch_embd\.weight\.1", "frame.1"),
    (r"v\.patch_embd\.bias", "patch_embed.proj.bias"),
    (r"v\.position_embd\.weight", "pos_embed.weight"),
    (r"v\.blk\.(\d+)\.ln([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    (r"v\.blk\.(\d+)\.attn_qkv\.(\w+)", r"blocks.\1.attn.qkv.\2"),
    (r"v\.blk\.(\d+)\.attn_out\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"v\.blk\.(\d+)\.ffn_up\.(\w+)", r"blocks.\1.mlp.linear_fc1.\2"),
    (r"v\.blk\.(\d+)\.ffn_down\.(\w+)", r"blocks.\1.mlp.linear_fc2.\2"),
    (r"v\.post_ln\.(\w+)", r"merger.norm.\1"),
    (r"mm\.0\.(\w+)", r"merger.linear_fc1.\1"),
    (r"mm\.2\.(\w+)", r"merger.linear_fc2.\1"),
    (r"v\.deepstack\.0\.(norm)\.(\w+)", r"deepstack_merger_list.0.\1.\2"),
    (r"v\.deepstack\.0\.(fc\d)\.(\w+)", r"deepstack_merger_list.0.linear_\1.\2"),
    (r"v\.deepstack\.2\.(norm)\.(\w+)", r"deepstack_merger_list.1.\1.\2"),
    (r"v\.deepstack\.2\.(fc\d)\.(\w+)", r"deepstack_merger_list.1.linear_\1.\2"),
    (r"v\.deepstack\.3\.(norm)\.(\w+)", r"deepstack_merger_list.2.\1.\2"),
    (r"v\.deepstack\.3\.(fc\d)\.(\w+)", r"deepstack_merger_list.2.linear_\1.\2"),
]


def model(text, projector):
    """Return the model."""
    config = transformers.Qwen3VLConfig(
        text_config={
            "vocab_size": len(field(text, "tokenizer.ggml.tokens")),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5000000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "rms_norm_eps": 1e-6,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 96,
            "intermediate_size": 144,
            "num_heads": 4,
            "patch_size": PATCH,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 2, 3],
        },
        tie_word_embeddings=True,
        attn_implementation="eager",
        **qwen_vl.ids(text),
    )
    state = decoder(text, "model.language_model.") | qwen_encoder(read(projector), "model.visual.", _NAMES)
    return load(transformers.Qwen3VLForConditionalGeneration(config), state)


def processor(text, settings):
    """Return the processor, which resizes by Pillow."""
    assert not settings
    words = tokenizer(text)
    images = qwen_vl.images(patch=PATCH, least=8192, most=65536, mean=[0.5] * 3, std=[0.5] * 3)
    films = transformers.Qwen3VLVideoProcessor()
    return transformers.Qwen3VLProcessor(images, words, films, chat_template=words.chat_template)


def seen(inputs):
    """Return the pixels of each image, (1, 3, height, width)."""
    return qwen_vl.seen(inputs, PATCH)
