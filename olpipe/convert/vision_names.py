"""How Ollama's files spell the tensors of a vision encoder, and what those files leave out.

Ollama writes the vision encoder into the file of the text model. It has names of its own for most tensors, which differ
from architecture to architecture. This is the only place that knows them.
Source: https://github.com/ollama/ollama/blob/main/llama/compat/llama-ollama-compat.cpp
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BLOCK = re.compile(r"(v\.blk\.\d+)\.(.+)")
_DEEP = re.compile(r"v\.deepstack_merger\.(\d+)\.(.+)")

_HALF = (0.5, 0.5, 0.5)

# Source: https://huggingface.co/openai/clip-vit-large-patch14-336/blob/main/preprocessor_config.json
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the files of one architecture differ from those of llama.cpp. Names come without `.weight` and `.bias`.

    Attributes:
        projector: What `clip.projector_type` would be.
        names: The names of llama.cpp by those of the file.
        in_blocks: The same for names within a block, such as `mlp.fc1`.
        values: What the files leave out, by the names that follow `clip.vision.`.
    """

    projector: str
    names: Mapping[str, str]
    in_blocks: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)


DIALECTS = {
    "gemma3": Dialect(
        projector="gemma3",
        names={
            "v.patch_embedding": "v.patch_embd",
            "v.position_embedding": "v.position_embd",
            "v.post_layernorm": "v.post_ln",
            "mm.mm_input_projection": "mm.input_projection",
            "mm.mm_soft_emb_norm": "mm.soft_emb_norm",
        },
        in_blocks={
            "layer_norm1": "ln1",
            "layer_norm2": "ln2",
            "attn_output": "attn_out",
            "mlp.fc1": "ffn_up",
            "mlp.fc2": "ffn_down",
        },
        values={
            "image_mean": _HALF,
            "image_std": _HALF,
            "use_gelu": True,
            "attention.layer_norm_epsilon": 1e-6,
        },
    ),
    "qwen25vl": Dialect(
        projector="qwen2.5vl_merger",
        names={"v.merger.ln_q": "v.post_ln", "v.merger.mlp.0": "mm.0", "v.merger.mlp.2": "mm.2"},
        in_blocks={},
        values={
            "image_mean": _CLIP_MEAN,
            "image_std": _CLIP_STD,
            "use_silu": True,
            "attention.layer_norm_epsilon": 1e-6,
            "spatial_merge_size": 2,
            "window_size": 112,
            "image_size": 560,
        },
    ),
    "qwen3vl": Dialect(
        projector="qwen3vl_merger",
        names={
            "v.pos_embed": "v.position_embd",
            "v.patch_embed": "v.patch_embd",
            "v.merger.norm": "v.post_ln",
            "v.merger.linear_fc1": "mm.0",
            "v.merger.linear_fc2": "mm.2",
        },
        in_blocks={"norm1": "ln1", "norm2": "ln2", "mlp.linear_fc1": "ffn_up", "mlp.linear_fc2": "ffn_down"},
        values={
            "image_mean": _HALF,
            "image_std": _HALF,
            "use_gelu": True,
            "attention.layer_norm_epsilon": 1e-6,
            "spatial_merge_size": 2,
            "image_min_pixels": 65_536,
            "image_max_pixels": 16_777_216,
        },
    ),
}
"""The dialects by the architecture of the text model."""

OTHER_VALUES = {
    "image_min_pixels": "shortest_edge",
    "image_max_pixels": "longest_edge",
}
"""Names of llama.cpp for values to which Ollama's files give another name."""

_IN_DEEP = {"norm": "norm", "linear_fc1": "fc1", "linear_fc2": "fc2"}

# Names that do not end in `.weight` or `.bias`, or that change there.
_WHOLE = {"v.patch_embd_0.weight": "v.patch_embd.weight", "v.patch_embd_1.weight": "v.patch_embd.weight.1"}


def translated(name: str, dialect: Dialect, deep_layers: Sequence[int] = ()) -> str:
    """Return llama.cpp's name for a tensor. A name that the dialect does not change is returned as it is.

    Args:
        name: The name in the file.
        dialect: The dialect of the file.
        deep_layers: After which blocks there are deepstack mergers. The file numbers the mergers from 0, and llama.cpp
            by these blocks.
    """
    if name in _WHOLE:
        return _WHOLE[name]
    stem, _, end = name.rpartition(".")
    if found := _BLOCK.fullmatch(stem):
        return f"{found[1]}.{dialect.in_blocks.get(found[2], found[2])}.{end}"
    found = _DEEP.fullmatch(stem)
    if found and found[2] in _IN_DEEP and int(found[1]) < len(deep_layers):
        return f"v.deepstack.{deep_layers[int(found[1])]}.{_IN_DEEP[found[2]]}.{end}"
    return f"{dialect.names.get(stem, stem)}.{end}"
