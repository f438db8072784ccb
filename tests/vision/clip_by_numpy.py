"""The vision encoder of a LLaVA in numpy, as it was trained or as llama.cpp computes it."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

PATCH, HEADS, EPSILON = 14, 4, 1e-5
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


def features(tensors, pixels, *, class_last=False, left_out=0):
    """Return the rows of features of an image, (patches, width of the text model).

    Args:
        tensors: The tensors of the file. It has the two matrices of a feed-forward block under each other's names.
        pixels: The image in the size that the encoder sees, (side, side, 3) uint8.
        class_last: Whether the token of the whole image stands behind the patches, so that the first row that is taken
            is that of the second patch, and the last row is that of this token. As trained, it stands before them.
        left_out: How many of the last blocks of the file are left out.
    """
    rows = _rows(tensors, (pixels / 255 - MEAN) / STD, class_last=class_last)
    rows = _norm(tensors, "v.pre_ln", rows)
    blocks = len({name.split(".")[2] for name in tensors if name.startswith("v.blk.")})
    for number in range(blocks - left_out):
        rows = _block(tensors, f"v.blk.{number}", rows)
    inner = _layer(tensors, "mm.0", rows[1:])
    return _layer(tensors, "mm.2", inner * (1 + erf(inner / np.sqrt(2))) / 2).astype(np.float32)  # the exact GELU


def _rows(tensors, pixels, *, class_last):
    """Return the sum of what each token shows and where it stands, (1 + patches, width)."""
    side = len(pixels) // PATCH
    patches = pixels.reshape(side, PATCH, side, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(side * side, -1)
    kernel = tensors["v.patch_embd.weight"]
    shown = patches @ kernel.reshape(len(kernel), -1).T
    whole = tensors["v.class_embd"][None]
    return np.concatenate([shown, whole] if class_last else [whole, shown]) + tensors["v.position_embd.weight"]


def _block(tensors, block, rows):
    # 1. Attention, (heads, rows, rows).
    normal = _norm(tensors, f"{block}.ln1", rows)
    queries, keys, values = (
        _layer(tensors, f"{block}.attn_{part}", normal).reshape(len(rows), HEADS, -1).swapaxes(0, 1) for part in "qkv"
    )
    scores = queries @ keys.swapaxes(1, 2) / np.sqrt(queries.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ values).swapaxes(0, 1).reshape(len(rows), -1)
    rows = rows + _layer(tensors, f"{block}.attn_out", mixed)
    # 2. The feed-forward block with the fast approximation of GELU.
    inner = _layer(tensors, f"{block}.ffn_down", _norm(tensors, f"{block}.ln2", rows))
    return rows + _layer(tensors, f"{block}.ffn_up", inner / (1 + np.exp(-1.702 * inner)))


def _layer(tensors, name, rows):
    return rows @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]


def _norm(tensors, name, rows):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    return normal * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
