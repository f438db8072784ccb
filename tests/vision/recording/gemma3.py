"""Gemma 3 in `transformers`."""

from __future__ import annotations

import torch
import transformers
from recording.conversations import conversations
from recording.processors import token_id, tokenizer
from recording.weights import decoder, field, load, read, siglip
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

SIDE, TOKENS = 112, 16
CAUSAL = False  # the tokens of an image attend to each other
CONVERSATIONS = conversations(square=(112, 112), wide=(224, 112), tall=(100, 190), other=(150, 100))
FITTINGS = []
RENAMED = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def text_config(text):
    """Return the configuration of the text model."""
    return {
        "vocab_size": len(field(text, "tokenizer.ggml.tokens")),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "sliding_window": 16,
        "layer_types": ["full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(7)],
        "max_position_embeddings": 2048,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "rms_norm_eps": 1e-6,
        "pad_token_id": token_id(text, "<pad>"),
    }


def image_token(text):
    """Return the token that stands for a row of features."""
    return token_id(text, "<image_soft_token>")


def model(text, projector):
    """Return the model."""
    config = transformers.Gemma3Config(
        text_config=text_config(text),
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 144,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 14,
        },
        mm_tokens_per_image=TOKENS,
        boi_token_index=token_id(text, "<start_of_image>"),
        eoi_token_index=token_id(text, "<end_of_image>"),
        image_token_index=token_id(text, "<image_soft_token>"),
        attn_implementation="eager",
    )
    state, rest = siglip(read(projector), "model.vision_tower.")
    state["model.multi_modal_projector.mm_input_projection_weight"] = rest.pop("mm.input_projection.weight")
    state["model.multi_modal_projector.mm_soft_emb_norm.weight"] = rest.pop("mm.soft_emb_norm.weight") - 1
    assert not rest
    made = transformers.Gemma3ForConditionalGeneration(config)
    return load(made, state | decoder(text, "model.language_model.", renamed=RENAMED), unused=(".head.",))


def processor(text, settings):
    """Return the processor, which resizes by Pillow."""
    assert not settings
    images = Gemma3ImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3, image_seq_length=TOKENS
    )
    words = tokenizer(text, boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    return transformers.Gemma3Processor(images, words, image_seq_length=TOKENS, chat_template=words.chat_template)


def seen(inputs):
    """Return the pixels of each image, (1, 3, height, width)."""
    return [one[None].numpy() for one in inputs["pixel_values"]]


def features(made, inputs):
    """Return the features of all images, (rows, width), and those for the first layers."""
    found = made.model.get_image_features(inputs["pixel_values"]).pooler_output
    return torch.cat(list(found)), None
