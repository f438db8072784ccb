"""Read the `config.json` of a decoder in the layout of Hugging Face, as what a GGUF file says about the same decoder.

Source: https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py and the classes of configurations in
https://github.com/huggingface/transformers/tree/main/src/transformers/models
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olpipe.convert.folder_rotary import Rotary, read_rotary
from olpipe.convert.gguf import shown
from olpipe.convert.model_folder import ConfigFile
from olpipe.errors import ModelCorrupt, ModelUnsupported

_GEMMA3_GLOBAL_EVERY = 6
_GEMMA3_27B_LAYERS = 62
_READS_IMAGES = ("vision_config", "vision_tower", "mm_vision_tower", "image_token_id", "image_token_index")
_MAX_LAYERS, _MAX_HEAD_SIZE = 1024, 256


@dataclass(frozen=True, slots=True)
class DecoderClass:
    """How a class of decoders in the library transformers differs from a llama there.

    Attributes:
        architecture: What GGUF files call it.
        rotary_pairs: Whether GGUF files keep the two values that rotate together next to each other.
        centred_norms: Whether the weights of norms are stored without the 1 that is added to them.
        outer_norms: Whether a norm follows each block.
        biases: Whether queries, keys and values have biases.
        activation: The activation of the feed-forward block.
        tied: Whether the embedding is the output projection where the configuration does not say it.
        head_size: The width of a head where the configuration does not say it; 0 to divide the width by the heads.
        epsilon: The epsilon of the norms where the configuration does not say it.
        rotary_base: The base of rotary frequencies where the configuration does not say it.
        windows: Whether layers with a window are converted. Others get a context that is no longer than the window.
    """

    architecture: str
    rotary_pairs: bool = False
    centred_norms: bool = False
    outer_norms: bool = False
    biases: bool = False
    activation: str = "silu"
    tied: bool = False
    head_size: int = 0
    epsilon: float = 1e-6
    rotary_base: float = 10000.0
    windows: bool = False


CLASSES: Mapping[str, DecoderClass] = {
    "LlamaForCausalLM": DecoderClass("llama", rotary_pairs=True),
    "Qwen2ForCausalLM": DecoderClass("qwen2", biases=True),
    "Qwen3ForCausalLM": DecoderClass("qwen3", head_size=128),
    "MistralForCausalLM": DecoderClass("llama", rotary_pairs=True),
    "Gemma3ForCausalLM": DecoderClass(
        "gemma3",
        centred_norms=True,
        outer_norms=True,
        activation="gelu_pytorch_tanh",
        tied=True,
        head_size=256,
        rotary_base=1e6,
        windows=True,
    ),
    "Phi3ForCausalLM": DecoderClass("phi3", epsilon=1e-5, windows=True),
}
"""The classes of decoders that can be converted, by the names that `architectures` has."""

_MODEL_TYPES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
}
"""The classes by `model_type`, for configurations without `architectures`."""


def class_of(config: ConfigFile) -> DecoderClass:
    """Return the class of a decoder.

    Raises:
        ModelUnsupported: It cannot be converted.
    """
    name = class_name(config)
    if name in CLASSES and not any(config.values.get(key) is not None for key in _READS_IMAGES[:3]):
        return CLASSES[name]
    said = f"the architecture `{shown(name)}`" if name else "no architecture"
    if any(config.values.get(key) is not None for key in _READS_IMAGES):
        message = f"`{config.path}` has {said}, of a model that reads images, which cannot be converted from a folder"
        hint = "use its GGUF file and that of its projector, each behind a `FROM` of its own"
        raise ModelUnsupported(message, hint=hint)
    message = f"`{config.path}` has {said}, which cannot be converted"
    raise ModelUnsupported(message, hint=f"these can be converted from a folder: {', '.join(CLASSES)}")


def class_name(config: ConfigFile) -> str:
    """Return the name of the class that a configuration names; empty where it names none."""
    named = config.values.get("architectures")
    if isinstance(named, list) and named:
        return named[0] if isinstance(named[0], str) else ""
    model_type = config.values.get("model_type")
    return _MODEL_TYPES.get(model_type, model_type) if isinstance(model_type, str) else ""


def read_metadata(config: ConfigFile, kind: DecoderClass) -> tuple[dict[str, Any], Rotary]:
    """Return what a GGUF file would say about the sizes of a decoder, and its rotary positions.

    Raises:
        ModelCorrupt: Something is missing, or two statements contradict each other.
        ModelUnsupported: The decoder is of a kind that cannot be converted.
    """
    _check_kind(config, kind)
    heads, width = config.size("num_attention_heads"), config.size("hidden_size")
    head_size = config.size("head_dim", kind.head_size or width // heads, limit=_MAX_HEAD_SIZE)
    context_length = config.size("max_position_embeddings")
    window = _window(config, kind)
    rotary = read_rotary(config, head_size, default_base=kind.rotary_base, factor_lists=kind.architecture == "phi3")
    values: dict[str, Any] = {
        "block_count": config.size("num_hidden_layers", limit=_MAX_LAYERS),
        "context_length": context_length if kind.windows or not window else min(context_length, window),
        "embedding_length": width,
        "feed_forward_length": config.size("intermediate_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": config.size("num_key_value_heads", heads),
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "attention.layer_norm_rms_epsilon": config.positive("rms_norm_eps", kind.epsilon),
        **rotary.metadata,
    }
    if kind.windows and window:
        values["attention.sliding_window"] = window
    if kind.architecture == "gemma3":
        _check_gemma3(config, values)
    named = {f"{kind.architecture}.{key}": value for key, value in values.items()}
    return {"general.architecture": kind.architecture, **named}, rotary


def is_tied(config: ConfigFile, kind: DecoderClass) -> bool:
    """Say whether the embedding is the output projection, too."""
    return config.flag("tie_word_embeddings", kind.tied)


def _check_kind(config: ConfigFile, kind: DecoderClass) -> None:
    """Refuse what changes a decoder without changing its tensors."""
    if config.values.get("quantization_config") is not None:
        message = f"`{config.path}` is of a model with quantised weights, which cannot be converted"
        raise ModelUnsupported(message, hint="use the model's own weights, in BF16, F16 or F32")
    key = "hidden_activation" if config.values.get("hidden_activation") is not None else "hidden_act"
    activation = config.text(key, kind.activation)
    if activation != kind.activation:
        message = f"`{config.path}` says `{key}` is `{shown(activation)}`; only `{kind.activation}` is converted"
        raise ModelUnsupported(message)
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
        if config.values.get(key):
            raise ModelUnsupported(f"`{config.path}` has `{key}`, which cannot be converted")


def _window(config: ConfigFile, kind: DecoderClass) -> int:
    """Return how many tokens a layer with a window attends to; 0 where there is none."""
    usual = not kind.architecture.startswith("qwen")  # these have a size, and no window unless they say so
    if config.values.get("sliding_window") is None or not config.flag("use_sliding_window", usual):
        return 0
    return config.size("sliding_window")


def _check_gemma3(config: ConfigFile, values: Mapping[str, Any]) -> None:
    """Refuse a Gemma 3 with other windows or another scale of attention scores than those that are published."""
    layers, head_size = values["block_count"], values["attention.key_length"]
    kinds = config.values.get("layer_types")
    if kinds is None:
        every = config.values.get("sliding_window_pattern", config.values.get("_sliding_window_pattern"))
        usual = every in (None, _GEMMA3_GLOBAL_EVERY)
    else:
        expected = ("full_attention", *["sliding_attention"] * (_GEMMA3_GLOBAL_EVERY - 1))
        usual = isinstance(kinds, list) and len(kinds) == layers <= _MAX_LAYERS
        usual = usual and all(kind == expected[at % _GEMMA3_GLOBAL_EVERY] for at, kind in enumerate(kinds, 1))
    if not usual:
        message = f"`{config.path}` has windows in other layers than five of six, which cannot be converted"
        raise ModelUnsupported(message)
    largest = layers == _GEMMA3_27B_LAYERS
    scalar = values["embedding_length"] / values["attention.head_count"] if largest else head_size
    if config.positive("query_pre_attn_scalar", scalar) != scalar:
        message = f"`{config.path}` says `query_pre_attn_scalar` is not {scalar:g}, which cannot be converted"
        raise ModelUnsupported(message)
    if "attention.sliding_window" not in values:
        raise ModelCorrupt(f"`{config.path}` does not say `sliding_window`")
