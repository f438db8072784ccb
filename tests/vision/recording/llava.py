"""LLaVA 1.5 in `transformers`.

The original LLaVA 1.5 pads images to squares in the mean colour of CLIP. Processors of `transformers` do so when they
are asked; otherwise, they cut the middle out. One conversation is recorded with that, too.
"""

from __future__ import annotations

import torch
import transformers
from recording.conversations import QUESTION, Conversation, conversations
from recording.processors import token_id, tokenizer
from recording.weights import decoder, field, load, read, siglip
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

SIDE = 70
CAUSAL = True
CONVERSATIONS = [
    *conversations(square=(70, 70), wide=(140, 70), tall=(60, 110), other=(150, 100)),
    Conversation("an image that is cropped", (((150, 100), QUESTION),), {"pad": False}),
]
FITTINGS = []


def image_token(text):
    """Return the token that stands for a row of features."""
    return token_id(text, "<image>")


def model(text, projector):
    """Return the model."""
    config = transformers.LlavaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(field(text, "tokenizer.ggml.tokens")),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "rms_norm_eps": 1e-6,
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 96,
            "intermediate_size": 160,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 14,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        },
        image_token_index=token_id(text, "<image>"),
        projector_hidden_act="gelu",
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        attn_implementation="eager",
    )
    state, rest = siglip(read(projector), "model.vision_tower.", swapped=True)
    for number, layer in ((0, 1), (2, 2)):
        for kind in ("weight", "bias"):
            state[f"model.multi_modal_projector.linear_{layer}.{kind}"] = rest.pop(f"mm.{number}.{kind}")
    assert not rest
    made = transformers.LlavaForConditionalGeneration(config)
    # The last block and the norm behind it are not in the file. The features come from the block before.
    return load(made, state | decoder(text, "model.language_model."), unused=("layers.3.", "post_layernorm"))


def processor(text, settings):
    """Return the processor, which resizes by Pillow."""
    images = LlavaImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_pad=settings.get("pad", True)
    )
    words = tokenizer(text)
    return transformers.LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=words.chat_template,
    )


def seen(inputs):
    """Return the pixels of each image, (1, 3, height, width)."""
    return [one[None].numpy() for one in inputs["pixel_values"]]


def features(made, inputs):
    """Return the features of all images, (rows, width), and those for the first layers."""
    return torch.cat(list(made.model.get_image_features(inputs["pixel_values"]).pooler_output)), None
