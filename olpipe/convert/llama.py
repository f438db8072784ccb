"""Read what a GGUF file says about its decoder, and check it before anything is converted.

A decoder of the qwen2 architecture is a llama decoder with small differences. `Family` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.errors import ModelCorrupt, ModelUnsupported

# These limits are above what real models have. So a damaged file cannot ask for a graph of a billion layers.
_MAX_LAYERS = 1024
_MAX_HEAD_SIZE = 256

# Some files say that they hold a million tokens. The rotary tables grow with this number, so it is limited.
_LONGEST_CONTEXT = 1 << 17


@dataclass(frozen=True, slots=True)
class Family:
    """What is particular to the decoders of one architecture.

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
        architecture: The architecture, as the file names it.
        layers: How many transformer blocks there are.
        hidden_size: The width of the residual stream.
        feed_forward_size: The width inside a feed-forward block.
        heads: How many query heads there are.
        kv_heads: How many key and value heads there are. Each is shared by `heads / kv_heads` query heads.
        head_size: The width of one head.
        context_length: Most tokens that the decoder was made for, but no more than 131,072.
        vocab_size: How many rows the embedding has, one for each token.
        epsilon: The epsilon of the root-mean-square norms.
        rope_base: The base of the rotary frequencies.
        rope_scale: What positions are divided by (linear scaling). It is 1 for most models.
        tied_embeddings: Whether the embedding is the output projection, too.
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
    """Read the sizes of a decoder, and check that the file has exactly its tensors.

    Raises:
        ModelCorrupt: Something is missing, or two statements contradict each other.
        ModelUnsupported: The decoder is of a kind that cannot be converted.
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
    """Return a whole number from 1 to a limit, by its name within the architecture."""
    key = f"{header.architecture}.{name}"
    value = header.metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a size up to {limit}")
    return value


def _positive(header: GGUFHeader, name: str, *, default: float) -> float:
    """Return a number above zero, by its name within the architecture."""
    key = f"{header.architecture}.{name}"
    value = header.metadata.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a positive number")
    return float(value)


def _shown(value: Any) -> str:
    """Return a value from a file for an error message, shortened."""
    return "nothing" if value is None else repr(value[:40] if isinstance(value, str | tuple) else value)[:40]


def _rope_scale(header: GGUFHeader) -> float:
    """Return what positions are divided by, and refuse other ways of scaling them."""
    kind = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return _positive(header, "rope.scaling.factor", default=1.0)
    kind = shown(str(kind))
    raise ModelUnsupported(f"`{header.path}` scales its rotary positions by `{kind}`, which cannot be converted")


def _check_kind(header: GGUFHeader, config: LlamaConfig) -> None:
    """Check that the graph can be written for a decoder of these sizes."""
    if header.metadata.get(f"{header.architecture}.expert_count"):
        raise ModelUnsupported(f"`{header.path}` is a mixture of experts, which cannot be converted")
    if config.heads % config.kv_heads:
        raise ModelCorrupt(f"`{header.path}` has {config.heads} heads for {config.kv_heads} key/value heads")
    rotated = _size(header, "rope.dimension_count", default=config.head_size)
    if rotated != config.head_size or config.head_size % 2:
        raise ModelUnsupported(
            f"`{header.path}` rotates {rotated} of {config.head_size} values of a head, which cannot be converted"
        )
    if _size(header, "attention.value_length", default=config.head_size) != config.head_size:
        raise ModelUnsupported(f"`{header.path}` has values of another width than its keys, which cannot be converted")
    for size in (config.hidden_size, config.feed_forward_size, config.heads * config.head_size):
        if size % 32:
            raise ModelUnsupported(f"`{header.path}` has matrices {size} wide, which is not a multiple of 32")


def _check_tensors(header: GGUFHeader, config: LlamaConfig) -> None:
    """Check that the file has exactly the tensors of the decoder, in the right shapes."""
    # 1. The tensors that must be there.
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
    # 2. The tensors that may be there.
    optional = {"output.weight": (config.vocab_size, hidden), "rope_freqs.weight": (config.head_size // 2,)}
    # 3. Compare them with those of the file.
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
