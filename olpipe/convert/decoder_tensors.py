"""Check that a GGUF file has exactly the tensors of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Collection

from olpipe.convert.decoder_config import DecoderConfig
from olpipe.convert.gguf import GGUFHeader
from olpipe.convert.tensor_shapes import check_shapes


def check_tensors(
    header: GGUFHeader,
    config: DecoderConfig,
    others: Collection[str] = (),
    *,
    spelt: Callable[[str], str] = str,
) -> None:
    """Check that a file has the tensors of a decoder in the right shapes, and no tensors that are not known.

    Args:
        header: The file.
        config: The sizes of the decoder.
        others: The names of tensors that belong to something else in the same file.
        spelt: Returns the name by which messages call a tensor.

    Raises:
        ModelCorrupt: A tensor is missing, or has another shape.
        ModelUnsupported: There is a tensor that such a decoder does not have.
    """
    check_shapes(
        f"`{header.path}`",
        {name: tensor.shape for name, tensor in header.tensors.items()},
        _needed(config),
        kind=f"a plain {config.architecture} decoder",
        optional=_optional(config),
        others=others,
        spelt=spelt,
    )


def _needed(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors that must be there, with their shapes."""
    hidden = config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (config.vocab_size, hidden),
        "output_norm.weight": (hidden,),
    }
    block = {f"{name}.weight": shape for name, shape in _block(config).items()}
    if config.kind.biases:
        widths = {"q": config.heads, "k": config.kv_heads, "v": config.kv_heads}
        block |= {f"attn_{part}.bias": (heads * config.head_size,) for part, heads in widths.items()}
    return shapes | {f"blk.{layer}.{name}": shape for layer in range(config.layers) for name, shape in block.items()}


def _block(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the weights of one layer, with their shapes."""
    hidden, kind = config.hidden_size, config.kind
    inner, kv_inner = config.heads * config.head_size, config.kv_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,),
        "attn_output": (hidden, inner),
        "ffn_norm": (hidden,),
        "ffn_down": (hidden, config.feed_forward_size),
    }
    if kind.fused:
        shapes |= {"attn_qkv": (inner + 2 * kv_inner, hidden), "ffn_up": (2 * config.feed_forward_size, hidden)}
    else:
        shapes |= {"attn_q": (inner, hidden), "attn_k": (kv_inner, hidden), "attn_v": (kv_inner, hidden)}
        shapes |= {f"ffn_{part}": (config.feed_forward_size, hidden) for part in ("gate", "up")}
    if kind.head_norms:
        shapes |= {f"attn_{part}_norm": (config.head_size,) for part in ("q", "k")}
    if kind.outer_norms:
        shapes |= {"post_attention_norm": (hidden,), "post_ffw_norm": (hidden,)}
    return shapes


def _optional(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors that may be there, with their shapes."""
    factors = (config.head_size // 2,)
    shapes: dict[str, tuple[int, ...]] = {
        "output.weight": (config.vocab_size, config.hidden_size),
        "rope_freqs.weight": factors,
    }
    if config.kind.fused:
        shapes |= {"rope_factors_short.weight": factors, "rope_factors_long.weight": factors}
    return shapes
