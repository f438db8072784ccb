"""What the Qwen-VL models have in common in `transformers`."""

from __future__ import annotations

import numpy as np
import torch
from recording.processors import token_id
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

CAUSAL = True
MERGE = 2


def ids(text):
    """Return the ids of the special tokens, as configurations of `transformers` name them."""
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    return {f"{role}_token_id": token_id(text, f"<|{name}|>") for role, name in names.items()}


def image_token(text):
    """Return the token that stands for a row of features."""
    return token_id(text, "<|image_pad|>")


def images(*, patch, least, most, mean, std):
    """Return the image processor, which resizes by Pillow."""
    size = {"shortest_edge": least, "longest_edge": most}
    return Qwen2VLImageProcessorPil(patch_size=patch, merge_size=MERGE, size=size, image_mean=mean, image_std=std)


def seen(inputs, patch):
    """Return the pixels of each image, (1, 3, height, width)."""
    pixels, start = [], 0
    for _, rows, columns in inputs["image_grid_thw"].tolist():
        patches = inputs["pixel_values"][start : start + rows * columns].numpy()
        start += rows * columns
        blocks = (rows // MERGE, columns // MERGE, MERGE, MERGE)
        frames = patches.reshape(*blocks, 3, 2, patch, patch).transpose(5, 4, 0, 2, 6, 1, 3, 7)
        frames = frames.reshape(2, 3, rows * patch, columns * patch)
        assert (frames[0] == frames[1]).all()
        pixels.append(frames[:1])
    return pixels


def features(made, inputs):
    """Return the features of all images, (rows, width), and those for the first layers, (layers, rows, width)."""
    found = made.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
    deepstack = getattr(found, "deepstack_features", None)
    return torch.cat(list(found.pooler_output)), None if deepstack is None else torch.stack(
        [torch.cat(list(one)) for one in deepstack]
    )


def fitted(width, height, settings):
    """Return the width and height to which an image is resized."""
    limits = {"min_pixels": settings["least_pixels"], "max_pixels": settings["most_pixels"]}
    height, width = smart_resize(height, width, factor=settings["cell"], **limits)
    return [width, height]


def fused(state):
    """Put the queries, keys and values of each vision block into one matrix."""
    parts = {name: values for name, values in state.items() if ".attn.q." in name}
    for name in parts:
        whole = np.concatenate([state.pop(name.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"])
        state[name.replace(".attn.q.", ".attn.qkv.")] = whole
    return state
