"""The sizes and tensors of BERT, RoBERTa and XLM-RoBERTa encoders. They are checked before any weight is read.

Tensors have the names that GGUF files give them. Folders of Hugging Face have other names for the same tensors.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from olpipe.convert.gguf import shown
from olpipe.convert.model_folder import CONFIG_NAME, ConfigFile
from olpipe.errors import ModelCorrupt, ModelUnsupported

# These limits are above what real models have. So a damaged file cannot ask for a graph of a billion layers.
MAX_LAYERS = 1024
MAX_WIDTH = 1 << 16

# What a folder of Hugging Face calls each tensor, by its name in GGUF files.
_HUGGING_FACE = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}

UNUSED = frozenset({"embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias"})
"""Other tensors that folders may have. They are not needed for vectors of texts."""

PLAIN = "a plain BERT encoder"
"""What messages call the encoders that can be converted."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is particular to one architecture.

    Attributes:
        family: Its name in lists of models.
        prefix: What the names of its tensors begin with if the model was saved as part of a larger one.
        skips_positions: Whether the first token has the position after the padding token's id, and not the position 0.
    """

    family: str
    prefix: str
    skips_positions: bool


# Source for the positions: https://github.com/huggingface/transformers, `create_position_ids_from_input_ids`
ARCHITECTURES = {
    "BertModel": Architecture("bert", "bert.", skips_positions=False),
    "RobertaModel": Architecture("roberta", "roberta.", skips_positions=True),
    "XLMRobertaModel": Architecture("xlm-roberta", "roberta.", skips_positions=True),
}


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The sizes of an encoder.

    Attributes:
        family: The architecture, as `ModelConfig.model_family` has it.
        layers: How many transformer blocks there are.
        hidden_size: The width of the model.
        feed_forward_size: The width inside a feed-forward block.
        heads: How many attention heads there are.
        positions: How many rows of the position embedding texts use. A text has no more tokens.
        skipped_positions: How many rows before these no text uses.
        vocab_size: How many rows the token embedding has.
        token_types: How many rows the token type embedding has. A single text uses the first one only.
        epsilon: The epsilon of the norms.
    """

    family: str
    layers: int
    hidden_size: int
    feed_forward_size: int
    heads: int
    positions: int
    skipped_positions: int
    vocab_size: int
    token_types: int
    epsilon: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor, by its name in GGUF files."""
        hidden = (self.hidden_size,)
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.vocab_size, self.hidden_size),
            "position_embd.weight": (self.skipped_positions + self.positions, self.hidden_size),
            "token_types.weight": (self.token_types, self.hidden_size),
            "token_embd_norm.weight": hidden,
            "token_embd_norm.bias": hidden,
        }
        square = (self.hidden_size, self.hidden_size)
        matrices = {
            "attn_q": square,
            "attn_k": square,
            "attn_v": square,
            "attn_output": square,
            "ffn_up": (self.feed_forward_size, self.hidden_size),
            "ffn_down": (self.hidden_size, self.feed_forward_size),
        }
        for layer in range(self.layers):
            for name, shape in matrices.items():
                shapes |= {f"blk.{layer}.{name}.weight": shape, f"blk.{layer}.{name}.bias": shape[:1]}
            for name in ("attn_output_norm", "layer_output_norm"):
                shapes |= {f"blk.{layer}.{name}.weight": hidden, f"blk.{layer}.{name}.bias": hidden}
        return shapes


def read_folder_config(folder: Path) -> BertConfig:
    """Read the `config.json` of a folder.

    Raises:
        ModelCorrupt: Something is missing, or two statements contradict each other.
        ModelUnsupported: The model is of an architecture or of a kind that cannot be converted.
    """
    config = ConfigFile.read(folder / CONFIG_NAME)
    architecture = _architecture(config)
    _check_kind(config)
    hidden_size, heads = config.size("hidden_size", limit=MAX_WIDTH), config.size("num_attention_heads")
    positions = config.size("max_position_embeddings", limit=1 << 24)
    skipped = 0
    if architecture.skips_positions:
        padding = config.values.get("pad_token_id", 1)
        if type(padding) is not int or not 0 <= padding < positions - 1:
            raise ModelCorrupt(f"`{config.path}` has a `pad_token_id` that does not fit into {positions} positions")
        skipped = padding + 1
    if hidden_size % heads:
        raise ModelCorrupt(f"`{config.path}` has a width of {hidden_size} for {heads} heads")
    return BertConfig(
        family=architecture.family,
        layers=config.size("num_hidden_layers", limit=MAX_LAYERS),
        hidden_size=hidden_size,
        feed_forward_size=config.size("intermediate_size", limit=1 << 20),
        heads=heads,
        positions=positions - skipped,
        skipped_positions=skipped,
        vocab_size=config.size("vocab_size"),
        token_types=config.size("type_vocab_size", 2, limit=1 << 16),
        epsilon=config.positive("layer_norm_eps", 1e-12),
    )


def hugging_face_names(config: BertConfig, present: Collection[str]) -> dict[str, str]:
    """Return what a folder calls each tensor, by its name in GGUF files.

    Args:
        config: The sizes of the encoder.
        present: The names in the folder's file. They show whether names have a prefix.
    """
    architecture = next(known for known in ARCHITECTURES.values() if known.family == config.family)
    prefix = architecture.prefix
    if f"{prefix}{_HUGGING_FACE['token_embd']}.weight" not in present:
        prefix = ""
    names = {}
    for name in config.shapes():
        *layer, part, kind = name.removeprefix("blk.").split(".")
        place = f"encoder.layer.{layer[0]}." if layer else ""
        names[name] = f"{prefix}{place}{_HUGGING_FACE[part]}.{kind}"
    return names


def _architecture(config: ConfigFile) -> Architecture:
    """Return the architecture that a configuration names."""
    named = config.values.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if not isinstance(name, str):
        raise ModelUnsupported(f"`{config.path}` does not name one architecture")
    if name not in ARCHITECTURES:
        raise ModelUnsupported(
            f"`{config.path}` has the architecture `{shown(name)}`, which cannot be converted",
            hint=f"these can be converted: {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[name]


def _check_kind(config: ConfigFile) -> None:
    """Refuse encoders with other activations or positions, and decoders."""
    for key, only in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        value = config.text(key, only)
        if value != only:
            raise ModelUnsupported(f"`{config.path}` says `{key}` is `{shown(value)}`; only `{only}` is converted")
    for key in ("is_decoder", "add_cross_attention"):
        if config.flag(key):
            raise ModelUnsupported(f"`{config.path}` says `{key}`: only encoders are converted")
