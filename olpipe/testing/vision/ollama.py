"""The files of Ollama's library: one file has the text model and the vision encoder, with names of their own.

What such files leave out is left out here, too: most of what can be guessed, and the chat template.

Source of names: https://github.com/ollama/ollama/tree/main/llama/compat and https://github.com/ollama/ollama/tree/main/convert
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from olpipe.testing.vision import gemma3, qwen2_5_vl, qwen3_vl
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import text_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[np.float32]]

# Patterns of llama.cpp's names, and what Ollama has in their place. The first one that fits counts.
_Renaming = Sequence[tuple[str, str]]
_GEMMA3: _Renaming = (
    (r"v\.patch_embd\.", "v.patch_embedding."),
    (r"v\.position_embd\.", "v.position_embedding."),
    (r"v\.post_ln\.", "v.post_layernorm."),
    (r"(v\.blk\.\d+)\.ln([12])\.", r"\1.layer_norm\2."),
    (r"(v\.blk\.\d+)\.attn_out\.", r"\1.attn_output."),
    (r"(v\.blk\.\d+)\.ffn_up\.", r"\1.mlp.fc1."),
    (r"(v\.blk\.\d+)\.ffn_down\.", r"\1.mlp.fc2."),
    (r"mm\.", "mm.mm_"),
)
_QWEN2_5: _Renaming = (
    (r"v\.patch_embd\.weight\.1", "v.patch_embd_1.weight"),
    (r"v\.patch_embd\.weight", "v.patch_embd_0.weight"),
    (r"v\.post_ln\.", "v.merger.ln_q."),
    (r"mm\.([02])\.", r"v.merger.mlp.\1."),
)
_QWEN3: _Renaming = (
    (r"v\.patch_embd\.", "v.patch_embed."),
    (r"v\.position_embd\.", "v.pos_embed."),
    (r"v\.post_ln\.", "v.merger.norm."),
    (r"(v\.blk\.\d+)\.ln([12])\.", r"\1.norm\2."),
    (r"(v\.blk\.\d+)\.ffn_up\.", r"\1.mlp.linear_fc1."),
    (r"(v\.blk\.\d+)\.ffn_down\.", r"\1.mlp.linear_fc2."),
    (r"mm\.0\.", "v.merger.linear_fc1."),
    (r"mm\.2\.", "v.merger.linear_fc2."),
    *(
        (rf"v\.deepstack\.{block}\.{part}\.", f"v.deepstack_merger.{number}.{own}.")
        for number, block in enumerate(qwen3_vl.DEEPSTACK)
        for part, own in (("norm", "norm"), ("fc1", "linear_fc1"), ("fc2", "linear_fc2"))
    ),
)


def content(family: str, seed: int) -> Content:
    """Return the one file of a model."""
    return _FAMILIES[family](seed)


def _gemma3(seed: int) -> Content:
    text, projector = text_model(gemma3.DECODER, gemma3.WORDS, seed), gemma3.projector(seed)
    left_out = ("attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.freq_base_swa", "rope.scaling.type")
    metadata = _without(text.metadata, "gemma3", [*left_out, "rope.scaling.factor"])
    # Files of this context length have the linear scaling of positions, although they do not say so.
    metadata |= {"gemma3.context_length": 131072, "gemma3.mm.tokens_per_image": 16}
    metadata |= _vision(projector, "gemma3", ("image_size", "feed_forward_length"))
    tensors = dict(text.tensors)
    # The last token, that of an image, has no row in the embedding.
    tensors["token_embd.weight"] = tensors["token_embd.weight"][:-1]
    vision = _renamed(projector.tensors, _GEMMA3)
    return Content(metadata, tensors | vision, _half(vision))


def _qwen2_5_vl(seed: int) -> Content:
    text, projector = text_model(qwen2_5_vl.DECODER, qwen2_5_vl.WORDS, seed), qwen2_5_vl.projector(seed)
    metadata = _without(text.metadata, "qwen2vl", ["rope.dimension_sections"])
    metadata = {key.replace("qwen2vl.", "qwen25vl."): value for key, value in metadata.items()}
    metadata |= {"general.architecture": "qwen25vl", "qwen25vl.rope.mrope_section": list(qwen2_5_vl.SECTIONS)}
    metadata |= _vision(projector, "qwen25vl", ()) | {
        "qwen25vl.vision.spatial_merge_size": qwen2_5_vl.MERGE,
        "qwen25vl.vision.spatial_patch_size": 14,
        "qwen25vl.vision.window_size": 112,
        "qwen25vl.vision.rope.freq_base": 10000.0,
        "qwen25vl.vision.fullatt_block_indexes": [1, 3],
        "qwen25vl.vision.temporal_patch_size": 2,
    }
    vision = _renamed(projector.tensors, _QWEN2_5)
    return Content(metadata, text.tensors | vision, _half(vision))


def _qwen3_vl(seed: int) -> Content:
    """Return a file whose heads are smaller than in real ones. So it must say how a head's frequencies are shared."""
    text, projector = text_model(qwen3_vl.DECODER, qwen3_vl.WORDS, seed), qwen3_vl.projector(seed)
    metadata = _without(text.metadata, "qwen3vl", ["rope.dimension_sections", "n_deepstack_layers"])
    metadata["qwen3vl.rope.mrope_section"] = list(qwen3_vl.SECTIONS)
    metadata |= _vision(projector, "qwen3vl", ("spatial_merge_size", "image_mean", "image_std")) | {
        "qwen3vl.vision.rope.freq_base": 10000.0,
        "qwen3vl.vision.temporal_patch_size": 2,
        "qwen3vl.vision.deepstack_visual_indexes": list(qwen3_vl.DEEPSTACK),
        "qwen3vl.vision.shortest_edge": qwen3_vl.LEAST_PIXELS,
        "qwen3vl.vision.longest_edge": qwen3_vl.MOST_PIXELS,
    }
    vision = _renamed(_frames_joined(_unfused(projector.tensors)), _QWEN3)
    # In real files, values are stored in another format than queries and keys.
    eights = {name: "Q8_0" for name in vision if name.endswith(".attn_v.weight")}
    return Content(metadata, text.tensors | vision, _half(vision) | eights)


_FAMILIES: dict[str, Callable[[int], Content]] = {
    "gemma3": _gemma3,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
}
NAMES = tuple(_FAMILIES)


def _without(metadata: dict[str, Any], architecture: str, left_out: Iterable[str]) -> dict[str, Any]:
    """Return metadata without some keys of an architecture, and without the chat template."""
    gone = {"tokenizer.chat_template", "general.type", *(f"{architecture}.{key}" for key in left_out)}
    return {key: value for key, value in metadata.items() if key not in gone}


def _vision(projector: Content, architecture: str, more: Iterable[str]) -> dict[str, Any]:
    """Return what a file of llama.cpp says about the vision encoder, under Ollama's keys.

    Args:
        projector: The file of llama.cpp.
        architecture: The architecture of the text model.
        more: What this family's files say beside what all say.
    """
    sizes = ("block_count", "embedding_length", "patch_size", "attention.head_count", "attention.layer_norm_epsilon")
    said = {f"{architecture}.vision.{key}": projector.metadata[f"clip.vision.{key}"] for key in (*sizes, *more)}
    return said | {f"{architecture}.vision.num_channels": 3}


def _renamed(tensors: Arrays, renaming: _Renaming) -> Arrays:
    renamed = {}
    for name, values in tensors.items():
        fitting = next(((pattern, new) for pattern, new in renaming if re.match(pattern, name)), None)
        renamed[re.sub(*fitting, name) if fitting else name] = values
    return renamed


def _half(tensors: Arrays) -> dict[str, str]:
    """Return `F16` for all matrices."""
    return {name: "F16" for name, values in tensors.items() if values.ndim > 1}


def _unfused(tensors: Arrays) -> Arrays:
    """Take the matrices of queries, keys and values apart."""
    apart = {}
    for name, values in tensors.items():
        if ".attn_qkv." not in name:
            apart[name] = values
            continue
        third = len(values) // 3
        for number, part in enumerate("qkv"):
            apart[name.replace("attn_qkv", f"attn_{part}")] = values[number * third : (number + 1) * third]
    return apart


def _frames_joined(tensors: Arrays) -> Arrays:
    """Put the convolutions of both frames into one tensor, (width * 3, 2, patch_size, patch_size)."""
    import numpy as np

    joined = dict(tensors)
    frames = [joined.pop(name) for name in ("v.patch_embd.weight", "v.patch_embd.weight.1")]
    whole = np.stack(frames, axis=2)  # (width, 3, 2, patch_size, patch_size)
    joined["v.patch_embd.weight"] = whole.reshape(-1, *whole.shape[2:])
    return joined
