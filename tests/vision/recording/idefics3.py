"""Idefics3 in `transformers`."""

from __future__ import annotations

import torch
import transformers
from recording.conversations import QUESTION, Conversation, conversations
from recording.processors import token_id, tokenizer
from recording.weights import decoder, field, load, read, siglip

TILE, LONGEST_EDGE = 64, 256
CONVERSATIONS = [
    *conversations(square=(256, 256), wide=(256, 128), tall=(64, 256), other=(150, 100)),
    Conversation("an image that is not split", (((150, 100), QUESTION),), {"longest_edge": TILE}),
    Conversation("an image of four tiles", (((90, 150), QUESTION),), {"longest_edge": 2 * TILE}),
]
CAUSAL = True
"""Whether no token attends to one behind it, not even in an image."""


def image_token(text):
    """Return the token that stands for a row of features."""
    return token_id(text, "<image>")


def model(text, projector):
    """Return the model."""
    config = transformers.Idefics3Config(
        text_config={
            "model_type": "llama",
            "vocab_size": len(field(text, "tokenizer.ggml.tokens")),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
            "rms_norm_eps": 1e-6,
            "pad_token_id": 2,
        },
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 144,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": TILE,
            "patch_size": 8,
        },
        scale_factor=4,
        image_token_id=token_id(text, "<image>"),
        attn_implementation="eager",
    )
    state, rest = siglip(read(projector), "model.vision_model.")
    state["model.connector.modality_projection.proj.weight"] = rest.pop("mm.model.fc.weight")
    assert not rest
    return load(transformers.Idefics3ForConditionalGeneration(config), state | decoder(text, "model.text_model."))


def processor(text, settings):
    """Return the processor, which resizes by Pillow."""
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    images = Idefics3ImageProcessorPil(
        size={"longest_edge": settings.get("longest_edge", LONGEST_EDGE)},
        max_image_size={"longest_edge": TILE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    words = tokenizer(text)
    return transformers.Idefics3Processor(images, words, image_seq_len=4, chat_template=words.chat_template)


def seen(inputs):
    """Return the pixels of each image, (tiles, 3, height, width); here of all images together."""
    return [inputs["pixel_values"][0].numpy()]


def features(made, inputs):
    """Return the features of all images, (rows, width), and those for the first layers."""
    found = made.model.get_image_features(inputs["pixel_values"], inputs["pixel_attention_mask"])
    return torch.cat(list(found.pooler_output)).flatten(0, -2), None


def fitted(width, height, settings):
    """Return the size to which an image is resized, and into how many columns and rows of tiles it is cut."""
    import numpy as np
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
        get_resize_output_image_size,
    )

    tile, longest = settings["tile"], settings["longest_edge"]
    made = Idefics3ImageProcessorPil()
    size = get_resize_output_image_size(np.broadcast_to(np.uint8(0), (3, height, width)), longest)
    whole = made.resize_for_vision_encoder(np.zeros((3, *size), np.uint8), tile, resample=1)
    _, rows, columns = made.split_images(whole, {"longest_edge": tile}, resample=1)
    return [whole.shape[2], whole.shape[1], columns, rows]


FITTINGS = [
    {"tile": tile, "longest_edge": edges * tile}
    for tile, edges in ((512, 4), (512, 2), (512, 1), (384, 4), (364, 4), (64, 4))
]
