"""Convert a GGUF file, or a folder as Hugging Face lays it out, into a package of ONNX Runtime GenAI, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from olpipe.convert.adapter import read_adapter
from olpipe.convert.architectures import ARCHITECTURES, FAMILY_VERSION, FORMAT_VERSION, VISION_CONFIG, VISION_ENCODER
from olpipe.convert.decoder import Precision, write_decoder
from olpipe.convert.decoder_config import DecoderConfig, Sight, read_config
from olpipe.convert.decoder_folder import DecoderFolder, folder_name, open_decoder_folder
from olpipe.convert.decoder_tensors import check_tensors
from olpipe.convert.floats import FloatTensors
from olpipe.convert.folder_tokenizer import FolderTokenizer, read_folder_tokenizer
from olpipe.convert.gguf import GGUFFile, GGUFHeader, open_gguf, shown
from olpipe.convert.linear import Blocks
from olpipe.convert.quantize import Coding
from olpipe.convert.tokenizer import (
    GGUFTokenizer,
    SpecialTokens,
    read_tokenizer,
    tokenizer_config,
    tokenizer_json,
)
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.interfaces.vision import Family, VisionConfig, VisionTensors
from olpipe.registry import blaming

__all__ = ["ARCHITECTURES", "FORMAT_VERSION", "PRECISIONS", "convert_gguf"]

# Embedding and output projection have eight bits. This costs little time, and four bits would cause most of the loss.
_VOCABULARY = Blocks(Coding.EIGHT_BITS, 32)

PRECISIONS = {
    "int4": Precision(Blocks(Coding.FOUR_BITS, 32), _VOCABULARY, fine_inputs=False),
    "int4-fast": Precision(Blocks(Coding.FOUR_BITS_WHOLE, 32), _VOCABULARY, fine_inputs=False),
    "int8": Precision(Blocks(Coding.EIGHT_BITS, 16), _VOCABULARY, fine_inputs=True),
    "float32": Precision(None, None, fine_inputs=False),
}
"""How finely weights are stored, by name. A vision encoder has eight bits with all but `float32`."""

_DECODER = "model.onnx"


@dataclass(frozen=True, slots=True)
class VisionPart:
    """The vision encoder of a model, found and checked.

    Attributes:
        family: The family of vision models that it belongs to.
        config: Its sizes.
        tensors: Its weights.
        names: The names of its tensors, as their file has them. They may stand in the file of the text model.
        whose: How messages call the family, where its own code fails.
    """

    family: Family
    config: VisionConfig
    tensors: VisionTensors
    names: frozenset[str]
    whose: str = "a family of vision models"

    @property
    def sight(self) -> Sight:
        """What the decoder needs for it."""
        return Sight(mutual=self.family.mutual, deepstack=len(self.config.deepstack_layers))


def convert_gguf(
    source: Path,
    destination: Path,
    *,
    vision: VisionPart | None = None,
    adapter: Path | None = None,
    precision: str = "int4",
    progress: ProgressCallback,
) -> None:
    """Convert a GGUF file, or a decoder's folder in the layout of Hugging Face, into a package.

    Args:
        source: The `.gguf` file, or the folder.
        destination: An existing, empty folder. After an error it may have a part of a package in it.
        vision: The vision encoder; None for a model that reads texts only.
        adapter: The file of an adapter, which is added to the weights before they are quantised.
        precision: A key of `PRECISIONS`: how finely the weights of the layers are stored.
        progress: Called after every tensor.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The file, the vision encoder or the adapter is damaged, or they do not fit each other.
        ModelUnsupported: The file is sound, but of a kind that cannot be converted.
    """
    # 1. Read and check everything but the weights.
    if precision not in PRECISIONS:
        raise ValueError(f"precision is `{precision}`, not one of {', '.join(PRECISIONS)}")
    model = _opened(source)
    header = model.header
    config, tokenizer = _read(model, vision)
    added = None if adapter is None else read_adapter(adapter)
    if added is not None:
        added.check(header)
    # 2. Write the graph and its weights, tensor by tensor.
    completed, total = 0, len(header.tensors.keys() | (vision.names if vision else frozenset()))

    def count() -> None:
        nonlocal completed
        completed += 1
        progress(Progress("converting", completed, total, "tensors"))

    progress(Progress("converting", 0, total, "tensors"))
    write_decoder(FloatTensors(model, added), config, destination / _DECODER, PRECISIONS[precision], count)
    if vision is not None:
        _write_vision(vision, destination, eight_bits=precision != "float32", done=count)
    # 3. Write the tokenizer, and last the configuration.
    _write_tokenizer(tokenizer, config, destination)
    _write_json(destination / "genai_config.json", _genai_config(config, tokenizer.special))


def check_convertible(source: Path, vision: VisionPart | None = None) -> None:
    """Check whether `convert_gguf` can convert a source; raises what that raises. The weights are not read."""
    _read(_opened(source), vision)


def _opened(source: Path) -> GGUFFile | DecoderFolder:
    """Read the headers of a source."""
    return open_decoder_folder(source) if source.is_dir() else open_gguf(source)


def _read(
    model: GGUFFile | DecoderFolder, vision: VisionPart | None
) -> tuple[DecoderConfig, GGUFTokenizer | FolderTokenizer]:
    """Return what the headers of a source say about the decoder and the tokenizer, checked."""
    header = model.header
    if header.architecture not in ARCHITECTURES:
        raise ModelUnsupported(
            f"`{header.path}` has the architecture `{shown(header.architecture)}`, which cannot be converted",
            hint=f"these can be converted: {', '.join(ARCHITECTURES)}",
        )
    config = read_config(header, None if vision is None else vision.sight)
    extra = header.architecture == "gemma3"  # files of Ollama have a token more than embeddings, which is never used
    if isinstance(model, DecoderFolder):
        kind = model.kind
        check_tensors(header, config, spelt=lambda name: folder_name(name, kind))
        return config, read_folder_tokenizer(header.path, rows=config.vocab_size, cut=extra)
    check_tensors(header, config, () if vision is None else vision.names)
    if vision is not None:
        _check_vision(header, config, vision)
    tokenizer = read_tokenizer(header)
    if extra:
        tokenizer = tokenizer.cut(config.vocab_size)
    if len(tokenizer.tokens) > config.vocab_size:
        raise ModelCorrupt(
            f"`{header.path}` has {len(tokenizer.tokens)} tokens, but only {config.vocab_size} embedding rows"
        )
    if vision is not None and vision.family.needs_placeholder and vision.family.placeholder not in tokenizer.tokens:
        raise ModelCorrupt(
            f"`{header.path}` has no token `{vision.family.placeholder}`, which stands for images",
            hint=f"take the text model of a {vision.family.name} that reads images",
        )
    return config, tokenizer


def _write_tokenizer(tokenizer: GGUFTokenizer | FolderTokenizer, config: DecoderConfig, folder: Path) -> None:
    """Write the files of the tokenizer, with the chat templates."""
    if isinstance(tokenizer, FolderTokenizer):
        content, settings = dict(tokenizer.content), tokenizer.config(config.context_length)
        for name, data in tokenizer.templates():
            path = folder.joinpath(*name.split("/"))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    else:
        content, settings = tokenizer_json(tokenizer), tokenizer_config(tokenizer, config.context_length)
    _write_json(folder / "tokenizer.json", content, indent=None)
    _write_json(folder / "tokenizer_config.json", settings)


def _check_vision(header: GGUFHeader, config: DecoderConfig, vision: VisionPart) -> None:
    """Check that a vision encoder fits a decoder."""
    if vision.config.output_width != config.hidden_size:
        raise ModelCorrupt(
            f"the vision encoder gives {vision.config.output_width} values for each token, and `{header.path}` takes "
            f"{config.hidden_size}",
            hint="take the projector that was published with the model",
        )
    if len(vision.config.deepstack_layers) > config.layers:
        raise ModelCorrupt(f"the vision encoder has features for more layers than `{header.path}` has")


def _write_vision(vision: VisionPart, folder: Path, *, eight_bits: bool, done: Callable[[], None]) -> None:
    """Write the graph of a vision encoder, and its description."""
    family, config = vision.family, vision.config
    with blaming(vision.whose, but=(OSError,)):  # a full disk is nobody's fault
        family.write(vision.tensors, config, folder / VISION_ENCODER, eight_bits=eight_bits, done=done)
        _write_json(folder / VISION_CONFIG, {FAMILY_VERSION: family.version, **asdict(config)})


def _write_json(path: Path, content: dict[str, Any], *, indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def _genai_config(config: DecoderConfig, special: SpecialTokens) -> dict[str, Any]:
    """Return the content of `genai_config.json`.

    Source: https://onnxruntime.ai/docs/genai/reference/config.html
    """
    end = special.ends[0]
    return {
        "model": {
            "type": config.architecture,
            "vocab_size": config.vocab_size,
            "context_length": config.context_length,
            "bos_token_id": end if special.begin is None else special.begin,
            "eos_token_id": list(special.ends),
            "pad_token_id": end if special.padding is None else special.padding,
            "decoder": {
                "filename": _DECODER,
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "head_size": config.head_size,
                "hidden_size": config.hidden_size,
                "num_attention_heads": config.heads,
                "num_key_value_heads": config.kv_heads,
                "num_hidden_layers": config.layers,
                **({"sliding_window": {"window_size": config.window}} if config.window and config.sight else {}),
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": config.context_length,
            "past_present_share_buffer": True,
        },
    }
