"""The sizes of a BERT encoder and of its near relatives, and which tensors it has, checked before any is read.

Tensors are called as GGUF files call them. Folders of Hugging Face have other names for the same tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from olpipe.convert.gguf import shown
from olpipe.convert.model_folder import CONFIG_NAME, ConfigFile
from olpipe.errors import ModelCorrupt, ModelUnsupported

# Above what real models have, so that a damaged file cannot ask for a graph of a billion layers.
MAX_LAYERS = 1024
MAX_WIDTH = 1 << 16

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
"""What folders hold besides, and vectors of texts do not need."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What tells one architecture from another.

    Attributes:
        family: Its name where models are listed.
        prefix: What the names of its tensors begin with where the model was part of a larger one.
        skips_positions: Whether positions are counted from behind the padding token's id.
    """

    family: str
    prefix: str
    skips_positions: bool


# Source: https://github.com/huggingface/transformers, `create_position_ids_from_input_ids` of the two latter
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
        layers: Transformer blocks.
        hidden_size: Width of the model.
        feed_forward_size: Width inside a feed-forward block.
        heads: Attention heads.
        positions: Rows of the position embedding that texts use: most tokens of a text.
        skipped_positions: Rows before them that no text uses.
        vocab_size: Rows of the token embedding.
        token_types: Rows of the token type embedding. A text alone uses the first.
        epsilon: Of the norms.
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
        ModelCorrupt: Something is missing or contradicts itself.
        ModelUnsupported: It is another architecture, or one of a kind that is not converted.
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
            raise ModelCorrupt(f"`{config.path}` has no place among {positions} positions for `pad_token_id`")
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
        config: The encoder's sizes.
        present: The names in the folder's file, which tell whether they have a prefix.
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


def check_tensors(
    path: Path,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    *,
    unused: Collection[str] = (),
) -> None:
    """Check that exactly the expected tensors are there.

    Raises:
        ModelCorrupt: One is missing, or has another shape.
        ModelUnsupported: There is one more, which such an encoder does not have.
    """
    for name, shape in expected.items():
        if name not in found:
            raise ModelCorrupt(f"`{path}` has no tensor `{name}`")
        if found[name] != shape:
            raise ModelCorrupt(f"`{path}`: tensor `{name}` is {found[name]}, not {shape}")
    for name in found:
        if name not in expected and name not in unused:
            raise ModelUnsupported(f"`{path}` has a tensor `{shown(name)}`, which a plain BERT encoder does not have")


def _architecture(config: ConfigFile) -> Architecture:
    named = config.values.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if not isinstance(name, str):
        raise ModelUnsupported(f"`{config.path}` does not name one architecture")
    if name not in ARCHITECTURES:
        raise ModelUnsupported(
            f"`{config.path}` has the architecture `{shown(name)}`, which is not converted",
            hint=f"convertible are: {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[name]


def _check_kind(config: ConfigFile) -> None:
    for key, only in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        value = config.text(key, only)
        if value != only:
            raise ModelUnsupported(f"`{config.path}` says `{key}` is `{shown(value)}`; only `{only}` is converted")
    for key in ("is_decoder", "add_cross_attention"):
        if config.flag(key):
            raise ModelUnsupported(f"`{config.path}` says `{key}`: only encoders are converted")
