"""What a GGUF file says about its llama decoder, or that of a near relative, checked before any of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.errors import ModelCorrupt, ModelUnsupported

# Above what real models have, so that a damaged file cannot ask for a graph of a billion layers.
_MAX_LAYERS = 1024
_MAX_HEAD_SIZE = 256

# Some files claim a million tokens; the rotary tables grow with the claim.
_LONGEST_CONTEXT = 1 << 17


@dataclass(frozen=True, slots=True)
class Family:
    """What tells one architecture's decoder from another's.

    Attributes:
        biases: Whether queries, keys and values have biases.
        rotary_pairs: Whether the file keeps the two values that rotate together next to each other.
    """

    biases: bool
    rotary_pairs: bool


# Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp, `llama_model_rope_type`
FAMILIES = {
    "llama": Family(biases=False, rotary_pairs=True),
    "qwen2": Family(biases=True, rotary_pairs=False),
}


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The sizes of a llama decoder.

    Attributes:
        architecture: As the file names it.
        layers: Transformer blocks.
        hidden_size: Width of the residual stream.
        feed_forward_size: Width inside a feed-forward block.
        heads: Query heads.
        kv_heads: Key and value heads, each shared by `heads / kv_heads` query heads.
        head_size: Width of one head.
        context_length: Most tokens it was made for, at most 131,072.
        vocab_size: Rows of the embedding, one for each token.
        epsilon: Of the root-mean-square norms.
        rope_base: Base of the rotary frequencies.
        rope_scale: Positions are divided by this (linear scaling); 1 for most.
        tied_embeddings: Whether the output projection is the embedding.
    """

    architecture: str
    layers: int
    hidden_size: int
    feed_forward_size: int
    heads: int
    kv_heads: int
    head_size: int
    context_length: int
    vocab_size: int
    epsilon: float
    rope_base: float
    rope_scale: float
    tied_embeddings: bool

    @property
    def family(self) -> Family:
        """What is particular to the architecture."""
        return FAMILIES[self.architecture]


def read_config(header: GGUFHeader) -> LlamaConfig:
    """Read and check the sizes and that exactly the tensors of such a decoder are there.

    Raises:
        ModelCorrupt: Something is missing or contradicts itself.
        ModelUnsupported: It is a llama of a kind that is not converted.
    """
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelCorrupt(f"`{header.path}` has no tensor `token_embd.weight`")
    heads = _size(header, "attention.head_count")
    hidden_size = _size(header, "embedding_length")
    head_size = _size(header, "attention.key_length", limit=_MAX_HEAD_SIZE, default=hidden_size // heads)
    config = LlamaConfig(
        architecture=header.architecture,
        layers=_size(header, "block_count", limit=_MAX_LAYERS),
        hidden_size=hidden_size,
        feed_forward_size=_size(header, "feed_forward_length"),
        heads=heads,
        kv_heads=_size(header, "attention.head_count_kv", default=heads),
        head_size=head_size,
        context_length=min(_size(header, "context_length"), _LONGEST_CONTEXT),
        vocab_size=embedding.shape[0],
        epsilon=_positive(header, "attention.layer_norm_rms_epsilon", default=1e-5),
        rope_base=_positive(header, "rope.freq_base", default=10000.0),
        rope_scale=_rope_scale(header),
        tied_embeddings="output.weight" not in header.tensors,
    )
    _check_kind(header, config)
    _check_tensors(header, config)
    return config


def _size(header: GGUFHeader, name: str, *, limit: int = 1 << 31, default: int | None = None) -> int:
    key = f"{header.architecture}.{name}"
    value = header.metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a size up to {limit}")
    return value


def _positive(header: GGUFHeader, name: str, *, default: float) -> float:
    key = f"{header.architecture}.{name}"
    value = header.metadata.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a positive number")
    return float(value)


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value[:40] if isinstance(value, str | tuple) else value)[:40]


def _rope_scale(header: GGUFHeader) -> float:
    kind = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return _positive(header, "rope.scaling.factor", default=1.0)
    kind = shown(str(kind))
    raise ModelUnsupported(f"`{header.path}` scales its rotary positions by `{kind}`, which is not converted")


def _check_kind(header: GGUFHeader, config: LlamaConfig) -> None:
    if header.metadata.get(f"{header.architecture}.expert_count"):
        raise ModelUnsupported(f"`{header.path}` is a mixture of experts, which is not converted")
    if config.heads % config.kv_heads:
        raise ModelCorrupt(f"`{header.path}` has {config.heads} heads for {config.kv_heads} key/value heads")
    rotated = _size(header, "rope.dimension_count", default=config.head_size)
    if rotated != config.head_size or config.head_size % 2:
        raise ModelUnsupported(f"`{header.path}` rotates {rotated} of {config.head_size} values of a head")
    if _size(header, "attention.value_length", default=config.head_size) != config.head_size:
        raise ModelUnsupported(f"`{header.path}` has values of another width than its keys")
    for size in (config.hidden_size, config.feed_forward_size, config.heads * config.head_size):
        if size % 32:
            raise ModelUnsupported(f"`{header.path}` has matrices {size} wide, which is no multiple of 32")


def _check_tensors(header: GGUFHeader, config: LlamaConfig) -> None:
    hidden = config.hidden_size
    inner, kv_inner = config.heads * config.head_size, config.kv_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (config.vocab_size, hidden),
        "output_norm.weight": (hidden,),
    }
    for layer in range(config.layers):
        block = {
            "attn_norm": (hidden,),
            "attn_q": (inner, hidden),
            "attn_k": (kv_inner, hidden),
            "attn_v": (kv_inner, hidden),
            "attn_output": (hidden, inner),
            "ffn_norm": (hidden,),
            "ffn_gate": (config.feed_forward_size, hidden),
            "ffn_up": (config.feed_forward_size, hidden),
            "ffn_down": (hidden, config.feed_forward_size),
        }
        if config.family.biases:
            biases = {"attn_q": (inner,), "attn_k": (kv_inner,), "attn_v": (kv_inner,)}
            shapes |= {f"blk.{layer}.{name}.bias": shape for name, shape in biases.items()}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    optional = {"output.weight": (config.vocab_size, hidden), "rope_freqs.weight": (config.head_size // 2,)}
    for name, shape in shapes.items():
        if name not in header.tensors:
            raise ModelCorrupt(f"`{header.path}` has no tensor `{name}`")
        if header.tensors[name].shape != shape:
            raise ModelCorrupt(f"`{header.path}`: tensor `{name}` is {header.tensors[name].shape}, not {shape}")
    for name, tensor in header.tensors.items():
        if name not in shapes and name not in optional:
            extra, plain = shown(name), f"a plain {config.architecture} decoder"
            raise ModelUnsupported(f"`{header.path}` has a tensor `{extra}`, which {plain} does not have")
        if name in optional and tensor.shape != optional[name]:
            raise ModelCorrupt(f"`{header.path}`: tensor `{name}` is {tensor.shape}, not {optional[name]}")
