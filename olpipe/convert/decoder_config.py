"""Read what a GGUF file says about its decoder.

All decoders that can be converted are a llama decoder with differences. `Architecture` names them.
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

# Gemma 3 27B divides its attention scores by another number than the smaller ones. Files do not tell which one it is.
# Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp, `LLM_ARCH_GEMMA3`
_GEMMA3_27B_LAYERS = 62

_SHORT_FACTORS = "rope_factors_short.weight"

# What files of Ollama leave out, by architecture.
# Source: https://github.com/ollama/ollama/tree/main/llama/compat
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "gemma3": {
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.key_length": 256,
        "rope.freq_base": 1e6,
        "rope.freq_base_swa": 1e4,
    },
    "qwen3vl": {"rope.dimension_sections": (24, 20, 20, 0)},
}

# Other names for the same values.
_OTHER_NAMES = {
    "rope.dimension_sections": "rope.mrope_section",
    "rope.freq_base": "rope.global.freq_base",
    "rope.freq_base_swa": "rope.local.freq_base",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is particular to the decoders of one architecture.

    Attributes:
        biases: Whether queries, keys and values have biases.
        rotary_pairs: Whether the file keeps the two values that rotate together next to each other.
        head_norms: Whether the queries and keys of each head are normalised.
        outer_norms: Whether the result of a block is normalised before it is added to the residual stream.
        fused: Whether one tensor holds queries, keys and values, and one the two inputs of the feed-forward block.
        gelu: Whether the feed-forward block opens with GELU; else it opens with SiLU.
        scaled_embedding: Whether embeddings are multiplied by the square root of their width.
        axes: How rotary positions with three axes are mixed: `sectioned`, `interleaved`, or empty where there is one.
        global_every: One layer in so many attends to all tokens, and the others to a window; 0 where all are alike.
    """

    biases: bool = False
    rotary_pairs: bool = False
    head_norms: bool = False
    outer_norms: bool = False
    fused: bool = False
    gelu: bool = False
    scaled_embedding: bool = False
    axes: str = ""
    global_every: int = 0


_QWEN2VL = Architecture(biases=True, axes="sectioned")

# Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp, `llama_model_rope_type` and the graphs
DECODERS = {
    "llama": Architecture(rotary_pairs=True),
    "qwen2": Architecture(biases=True),
    "qwen2vl": _QWEN2VL,
    "qwen25vl": _QWEN2VL,
    "qwen3": Architecture(head_norms=True),
    "qwen3vl": Architecture(head_norms=True, axes="interleaved"),
    "gemma3": Architecture(head_norms=True, outer_norms=True, gelu=True, scaled_embedding=True, global_every=6),
    "phi3": Architecture(fused=True),
}


@dataclass(frozen=True, slots=True)
class Sight:
    """What a decoder needs to read the features of images.

    Attributes:
        mutual: Whether all tokens of an image attend to each other.
        deepstack: To how many of its first layers the vision encoder adds features of their own.
    """

    mutual: bool = False
    deepstack: int = 0


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The sizes of a decoder.

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
        local_rope_base: The base of the rotary frequencies of layers that attend to a window.
        rope_factor: What the cosines and sines of rotary positions are multiplied by. It is 1 for most models.
        sections: How many rotary frequencies belong to time, rows and columns; empty where positions have one axis.
        attention_scale: What attention scores are multiplied by.
        window: How many tokens a layer with a window attends to, itself included; 0 where no layer has one.
        sight: What it needs for images; None where it reads texts only.
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
    local_rope_base: float
    rope_factor: float
    sections: tuple[int, ...]
    attention_scale: float
    window: int
    sight: Sight | None = None

    @property
    def kind(self) -> Architecture:
        """What is particular to the architecture."""
        return DECODERS[self.architecture]

    def is_local(self, layer: int) -> bool:
        """Say whether a layer attends to a window only."""
        every = self.kind.global_every
        return self.window > 0 and (every == 0 or (layer + 1) % every != 0)


def read_config(header: GGUFHeader, sight: Sight | None = None) -> DecoderConfig:
    """Read the sizes of a decoder.

    Args:
        header: The file. Its architecture is one of `DECODERS`.
        sight: What the decoder needs for images; None where it reads texts only.

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
    layers = _size(header, "block_count", limit=_MAX_LAYERS)
    rope_base = _positive(header, "rope.freq_base", default=10000.0)
    config = DecoderConfig(
        architecture=header.architecture,
        layers=layers,
        hidden_size=hidden_size,
        feed_forward_size=_size(header, "feed_forward_length"),
        heads=heads,
        kv_heads=_size(header, "attention.head_count_kv", default=heads),
        head_size=head_size,
        context_length=_context_length(header),
        vocab_size=embedding.shape[0],
        epsilon=_positive(header, "attention.layer_norm_rms_epsilon", default=1e-5),
        rope_base=rope_base,
        rope_scale=_rope_scale(header),
        tied_embeddings="output.weight" not in header.tensors,
        local_rope_base=_positive(header, "rope.freq_base_swa", default=10000.0),
        rope_factor=_positive(header, "rope.scaling.attn_factor", default=1.0),
        sections=_sections(header, head_size),
        attention_scale=_attention_scale(header, layers, hidden_size // heads, head_size),
        window=_window(header),
        sight=sight,
    )
    _check_kind(header, config)
    return config


def _value(header: GGUFHeader, name: str) -> Any:
    """Return a value by its name within the architecture, or by another name for it, or as it is where left out."""
    architecture = header.architecture
    for spelling in (name, _OTHER_NAMES.get(name, name)):
        if (value := header.metadata.get(f"{architecture}.{spelling}")) is not None:
            return value
    return _LEFT_OUT.get(architecture, {}).get(name)


def _size(header: GGUFHeader, name: str, *, limit: int = 1 << 31, default: int | None = None) -> int:
    """Return a whole number from 1 to a limit, by its name within the architecture."""
    value = _value(header, name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
        key = f"{header.architecture}.{name}"
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a size up to {limit}")
    return value


def _positive(header: GGUFHeader, name: str, *, default: float) -> float:
    """Return a number above zero, by its name within the architecture."""
    value = _value(header, name)
    value = default if value is None else value
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        key = f"{header.architecture}.{name}"
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, not a positive number")
    return float(value)


def _shown(value: Any) -> str:
    """Return a value from a file for an error message, shortened."""
    return "nothing" if value is None else repr(value[:40] if isinstance(value, str | tuple) else value)[:40]


def _context_length(header: GGUFHeader) -> int:
    """Return how many tokens the decoder holds.

    A file with two sets of rotary factors has one for short contexts and one for long ones. The first is used, so the
    context is that for which it was made.
    """
    length = min(_size(header, "context_length"), _LONGEST_CONTEXT)
    if _SHORT_FACTORS in header.tensors:
        return min(length, _size(header, "rope.scaling.original_context_length", default=length))
    return length


def _rope_scale(header: GGUFHeader) -> float:
    """Return what positions are divided by, and refuse other ways of scaling them."""
    kind = header.metadata.get(f"{header.architecture}.rope.scaling.type")
    if kind == "linear":
        return _positive(header, "rope.scaling.factor", default=1.0)
    if kind is None and header.architecture == "gemma3" and _size(header, "context_length") >= 1 << 17:
        return 8.0  # files of Ollama do not say so
    if kind in (None, "none") or (kind == "longrope" and _SHORT_FACTORS in header.tensors):
        return 1.0
    kind = shown(str(kind))
    raise ModelUnsupported(f"`{header.path}` scales its rotary positions by `{kind}`, which cannot be converted")


def _sections(header: GGUFHeader, head_size: int) -> tuple[int, ...]:
    """Return how many rotary frequencies belong to time, rows and columns. A fourth number is not used."""
    if not DECODERS[header.architecture].axes:
        return ()
    value = _value(header, "rope.dimension_sections")
    sound = isinstance(value, tuple) and len(value) in (3, 4) and all(type(one) is int and one >= 0 for one in value)
    if not sound or sum(value[:3]) != head_size // 2 or any(value[3:]):
        key = f"{header.architecture}.rope.dimension_sections"
        raise ModelCorrupt(f"`{header.path}` says `{key}` is {_shown(value)}, which is not {head_size // 2} in three")
    return tuple(value[:3])


def _attention_scale(header: GGUFHeader, layers: int, width: int, head_size: int) -> float:
    """Return what attention scores are multiplied by.

    Args:
        header: The file.
        layers: How many layers there are.
        width: The width of the residual stream, divided by the number of heads.
        head_size: The width of one head.
    """
    largest = header.architecture == "gemma3" and layers == _GEMMA3_27B_LAYERS
    return float((width if largest else head_size) ** -0.5)


def _window(header: GGUFHeader) -> int:
    """Return how many tokens a layer with a window attends to; 0 where there is none, or where it is never full."""
    if header.architecture not in ("gemma3", "phi3"):
        return 0
    value = _value(header, "attention.sliding_window")
    if value in (None, 0):
        return 0
    window = _size(header, "attention.sliding_window")
    return window if window < _context_length(header) else 0


def _check_kind(header: GGUFHeader, config: DecoderConfig) -> None:
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
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if _value(header, name):
            raise ModelUnsupported(f"`{header.path}` has `{name}`, which cannot be converted")
    for size in (config.hidden_size, config.feed_forward_size, config.heads * config.head_size):
        if size % 32:
            raise ModelUnsupported(f"`{header.path}` has matrices {size} wide, which is not a multiple of 32")
