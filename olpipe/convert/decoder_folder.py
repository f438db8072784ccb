"""Present a decoder in the layout of Hugging Face as if it were a GGUF file, so that it is converted in the same way.

The folder has `config.json`, `model.safetensors` or several files with an index, and `tokenizer.json`. Its tensors get
the names that GGUF files give them. Where GGUF files store a tensor in another form, it gets that form when it is read:
the rows of queries and keys of a llama are put in another order, and the norms of a Gemma have 1 added to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olpipe.convert.bert import ARCHITECTURES as BERT_CLASSES
from olpipe.convert.dequantize import dequantize
from olpipe.convert.folder_config import DecoderClass, class_name, class_of, is_tied, read_metadata
from olpipe.convert.gguf import Bytes, GGUFHeader, TensorInfo, shown
from olpipe.convert.model_folder import CONFIG_NAME, ConfigFile
from olpipe.convert.sentence_folder import MODULES_NAME
from olpipe.convert.shards import ShardTensor, read_shards
from olpipe.convert.tensor_types import TENSOR_TYPES, TensorType
from olpipe.errors import ModelCorrupt, ModelUnsupported

_VERSION = 3
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}
_LAYER = re.compile(r"model\.layers\.(0|[1-9]\d{0,4})\.([a-z_.]+)\.(weight|bias)", re.ASCII)
_AT_THE_ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_IN_LAYERS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_WITH_OUTER_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_UNUSED = "self_attn.rotary_emb.inv_freq"  # older files have it, and it follows from the configuration


@dataclass(frozen=True, slots=True)
class DecoderFolder:
    """A decoder's folder, as if it were a GGUF file. The weights are mapped into memory when they are read.

    Attributes:
        header: What the header of such a GGUF file would be, without the tokenizer. Its path is the folder.
        kind: The class of the decoder.
        places: Where the tensors are, by the names that GGUF files give them. Some tensors are in no file.
        made: The values of those that are in no file, by their names.
    """

    header: GGUFHeader
    kind: DecoderClass
    places: Mapping[str, ShardTensor]
    made: Mapping[str, npt.NDArray[np.float32]]

    def rows(self, tensor: TensorInfo) -> Bytes:
        """Return the bytes of a tensor as GGUF files have them, (rows, bytes of a row). A vector is one row."""
        if tensor.name in self.made:
            return self.made[tensor.name].astype("<f4").view(np.uint8).reshape(1, -1)
        place = self.places[tensor.name]
        data = np.memmap(place.path, dtype=np.uint8, mode="r", offset=place.offset, shape=(place.size_bytes,))
        rows: Bytes = data.reshape(1 if len(place.shape) == 1 else place.shape[0], -1)
        if self.kind.centred_norms and tensor.name.endswith("_norm.weight"):
            norm = dequantize(rows, _TYPES[place.dtype]) + np.float32(1)
            return norm.astype("<f4").view(np.uint8)
        order = self._order(tensor)
        return rows if order is None else rows[order]

    def _order(self, tensor: TensorInfo) -> npt.NDArray[np.intp] | None:
        """Return the rows of a folder's tensor in the order of a GGUF file; None where it is the same.

        In the folder, the first values of all pairs that rotate together come before the second ones, head by head.
        """
        part = tensor.name.rpartition("attn_")[2]
        if not self.kind.rotary_pairs or part not in ("q.weight", "k.weight"):
            return None
        sizes = self.header.metadata
        head_size = sizes[f"{self.header.architecture}.attention.key_length"]
        rows = np.arange(tensor.shape[0])
        return rows.reshape(-1, 2, head_size // 2).swapaxes(1, 2).reshape(-1)


def is_decoder_folder(folder: Path) -> bool:
    """Say whether a folder in the layout of Hugging Face is to be taken for a decoder, and not for an encoder.

    Raises:
        ModelCorrupt: Its `config.json` is damaged.
    """
    if (folder / MODULES_NAME).is_file():
        return False
    name = class_name(ConfigFile.read(folder / CONFIG_NAME))
    return name not in BERT_CLASSES and name not in {known.family for known in BERT_CLASSES.values()}


def open_decoder_folder(folder: Path) -> DecoderFolder:
    """Read what a folder says about its decoder, and the headers of its weights. No weight is read.

    Raises:
        ModelCorrupt: A file is missing or damaged, or two of them contradict each other.
        ModelUnsupported: The decoder is of a kind that cannot be converted.
    """
    # 1. The configuration first: what cannot be converted is refused by it.
    config = ConfigFile.read(folder / CONFIG_NAME)
    kind = class_of(config)
    metadata, rotary = read_metadata(config, kind)
    # 2. The weights, by the names of GGUF files.
    tied = is_tied(config, kind)
    places: dict[str, ShardTensor] = {}
    for name, place in read_shards(folder).items():
        known = gguf_name(name, kind)
        if name.endswith(f".{_UNUSED}") or (tied and known == "output.weight"):
            continue
        if known is None or known in places:
            said = f"`{folder}` has a tensor `{shown(name)}`"
            raise ModelUnsupported(f"{said}, which a plain {kind.architecture} decoder does not have")
        places[known] = place
    if not tied and "output.weight" not in places:
        raise ModelCorrupt(f"`{folder}` has no tensor `lm_head.weight`, and does not say `tie_word_embeddings`")
    # 3. The header of a GGUF file with the same content.
    tensors = {name: _info(name, place, kind) for name, place in places.items()}
    for name, values in rotary.tensors.items():
        tensors[name] = TensorInfo(name, values.shape, _TYPES["F32"], 0, values.nbytes)
    return DecoderFolder(GGUFHeader(folder, _VERSION, metadata, tensors), kind, places, rotary.tensors)


def gguf_name(name: str, kind: DecoderClass) -> str | None:
    """Return what GGUF files call a tensor; None where they do not have it.

    Args:
        name: The name in the folder.
        kind: The class of the decoder.
    """
    found = _LAYER.fullmatch(name)
    if found is None:
        return _AT_THE_ENDS.get(name)
    layer, part, last = found.groups()
    known = (_IN_LAYERS | _WITH_OUTER_NORMS if kind.outer_norms else _IN_LAYERS).get(part)
    return None if known is None else f"blk.{layer}.{known}.{last}"


def folder_name(name: str, kind: DecoderClass) -> str:
    """Return what folders call a tensor that GGUF files have; an unknown name is returned as it is."""
    ends = {known: own for own, known in _AT_THE_ENDS.items()}
    if name in ends or not name.startswith("blk."):
        return ends.get(name, name)
    _, layer, part, last = name.split(".", 3)
    fused = kind.architecture == "phi3"
    inner = {
        known: own
        for own, known in (_IN_LAYERS | _WITH_OUTER_NORMS if kind.outer_norms else _IN_LAYERS).items()
        if known != "ffn_up" or (own == "mlp.gate_up_proj") == fused
    }
    return f"model.layers.{layer}.{inner.get(part, part)}.{last}"


def _info(name: str, place: ShardTensor, kind: DecoderClass) -> TensorInfo:
    """Describe a tensor as it is after it was read."""
    stored: TensorType = _TYPES[place.dtype]
    if kind.centred_norms and name.endswith("_norm.weight"):
        values = place.size_bytes // stored.block_bytes
        return TensorInfo(name, place.shape, _TYPES["F32"], place.offset, 4 * values)
    return TensorInfo(name, place.shape, stored, place.offset, place.size_bytes)
