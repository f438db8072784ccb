"""Load the weights of GGUF files into models of `transformers`.

The files are read with the package `gguf`, so not one line of this project stands between the weights and the
reference.
"""

from __future__ import annotations

import re

import gguf
import numpy as np
import torch

# GGUF name -> name in `transformers`, of decoders; and of vision encoders below.
_DECODER = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SIGLIP = {
    "v.patch_embd": "embeddings.patch_embedding",
    "v.position_embd": "embeddings.position_embedding",
    "v.class_embd": "embeddings.class_embedding",
    "v.pre_ln": "pre_layrnorm",
    "v.post_ln": "post_layernorm",
    "ln1": "layer_norm1",
    "ln2": "layer_norm2",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_out": "self_attn.out_proj",
    "ffn_up": "mlp.fc1",
    "ffn_down": "mlp.fc2",
}


def read(path):
    """Return the tensors of a file as float32 arrays, with the outermost dimension first."""
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        for tensor in gguf.GGUFReader(path).tensors
    }


def field(path, key):
    """Return a value of a file's metadata."""
    return gguf.GGUFReader(path).get_field(key).contents()


def decoder(path, prefix, *, head="lm_head", renamed=None, heads=4, kv_heads=2):
    """Return the state of a decoder of `transformers`.

    Args:
        path: The file.
        prefix: What stands in front of the names of the decoder's own modules.
        head: The name of the output projection.
        renamed: Names of this architecture that differ from those above.
        heads: How many query heads there are.
        kv_heads: How many key and value heads there are.
    """
    names, architecture, state = {**_DECODER, **(renamed or {})}, field(path, "general.architecture"), {}
    for name, values in read(path).items():
        block, part, kind = split(name)
        if part.startswith("rope_factors"):
            continue
        if architecture == "llama" and part in ("attn_q", "attn_k"):
            values = unpermuted(values, heads if part == "attn_q" else kv_heads)
        if architecture == "gemma3" and part.endswith("norm"):
            values = values - 1
        layer = "" if block is None else f"layers.{block}."
        state[f"{head}.{kind}" if part == "output" else f"{prefix}{layer}{names[part]}.{kind}"] = values
    return state


def siglip(tensors, prefix, *, swapped=False):
    """Return the state of a SigLIP or CLIP encoder, and the tensors that are not of the encoder.

    Args:
        tensors: The tensors of a file.
        prefix: What stands in front of the names of the encoder's modules.
        swapped: Whether the file has the two matrices of a feed-forward block under each other's names.
    """
    state, rest = {}, {}
    for name, values in tensors.items():
        block, part, kind = split(name)
        if swapped and part in ("ffn_up", "ffn_down"):
            part = "ffn_down" if part == "ffn_up" else "ffn_up"
        if part not in _SIGLIP:
            rest[name] = values
        elif block is None:
            state[f"{prefix}{_SIGLIP[part]}" + (f".{kind}" if kind else "")] = values
        else:
            state[f"{prefix}encoder.layers.{block}.{_SIGLIP[part]}.{kind}"] = values
    return state, rest


def qwen_encoder(tensors, prefix, names):
    """Return the state of a Qwen encoder. `names` are patterns of GGUF names, and what to put in their place."""
    state = {}
    for name, values in tensors.items():
        for pattern, replacement in names:
            if re.fullmatch(pattern, name):
                state[prefix + re.sub(pattern, replacement, name)] = values
                break
        else:
            raise KeyError(name)
    first, second = (state.pop(f"{prefix}frame.{frame}") for frame in (0, 1))
    state[f"{prefix}patch_embed.proj.weight"] = np.stack([first, second], axis=2)  # (out, in, frames, height, width)
    return state


def split(name):
    """Return the number of a tensor's block, its part, and whether it is a weight or a bias."""
    part, _, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        part, kind = name, ""
    found = re.fullmatch(r"(?:v\.)?blk\.(\d+)\.(.+)", part)
    return (int(found[1]), found[2], kind) if found else (None, part, kind)


def unpermuted(values, heads):
    """Put the two halves of each head apart again, which files of the architecture `llama` have interleaved."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def load(model, state, *, unused=()):
    """Load a state, and check that every weight of the model was in it.

    Args:
        model: The model.
        state: The weights by their names.
        unused: Parts of the names of weights that do not change the results.
    """
    missing, unexpected = model.load_state_dict({name: torch.tensor(one) for name, one in state.items()}, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    missing = [name for name in missing if name not in tied and not any(part in name for part in unused)]
    if missing or unexpected:
        raise KeyError(f"missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.float().eval()
