"""Read what the header of a GGUF file says about a vision encoder, and whether it fits a text model.

The vision encoder of a model is a file of its own, a *projector*, or it is in the text model's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.architectures import PROJECTOR_FILE
from olpipe.convert.gguf import GGUFHeader, open_gguf, read_header
from olpipe.convert.vision_file import PROJECTOR_ARCHITECTURE, VisionFile, has_vision, open_vision, text_tensors
from olpipe.errors import ModelError, PluginError, PullFailed
from olpipe.families.table import Families
from olpipe.model import ModelBundle
from olpipe.registry import blaming

if TYPE_CHECKING:
    from olpipe.convert.package import VisionPart

_MODEL_FILE = "model.gguf"
_ENCODER = "v."  # what the names of an encoder's tensors begin with
_LARGE_SIDE = 4096  # pixels of an image that becomes as many tokens as the model's usual number allows
_LAST = "mm.2.weight"  # the second layer of a projector with two: its rows are the outputs

# In files of these types, `projection_dim` is a size of the original CLIP model, or 0.
# Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/mtmd/legacy-models/convert_image_encoder_to_gguf.py
_OTHER_DIMENSIONS = frozenset({"mlp", "mlp_norm", "ldp", "ldpv2", "resampler", "adapter", "phi3_v"})


@dataclass(frozen=True, slots=True)
class VisionFacts:
    """What a file says about its vision encoder. A number that is not known is 0.

    Attributes:
        architecture: The architecture of the file: `clip` for a projector, or that of the whole model.
        projector: The type of the projector, as llama.cpp calls it, such as `gemma3`.
        parameters: How many numbers its tensors have together.
        embedding_length: The width of its residual stream.
        dimensions: The width of a row of its output, which is that of the text model.
        image_size: The side of the square images that it was made for, in pixels.
        patch_size: The side of a patch, in pixels.
        family: The family of vision models; empty where none reads the encoder.
        boxes: How the family was trained to say a box; empty where it was not.
        image_tokens: Tokens that a large image becomes where nobody asks for another number.
        file_type: The type of most of its weights.
    """

    architecture: str
    projector: str
    parameters: int
    embedding_length: int
    dimensions: int
    image_size: int
    patch_size: int
    family: str
    boxes: str
    image_tokens: int
    file_type: str


def is_projector(header: GGUFHeader) -> bool:
    """Say whether a file is a projector, and no text model."""
    return header.architecture == PROJECTOR_ARCHITECTURE


def vision_facts(bundle: ModelBundle, families: Families | None = None) -> VisionFacts | None:
    """Describe the vision encoder of a stored model; None where it has none, or where its file cannot be read.

    Args:
        bundle: The model.
        families: All families of vision models; None stands for those that ship with olpipe.
    """
    model, projector = bundle.path / _MODEL_FILE, bundle.path / PROJECTOR_FILE
    own_file = projector if projector.is_file() else None
    try:
        source = open_gguf(own_file or model)
        if not has_vision(source.header):
            return None
        return _facts(source.header, open_vision(source), _part(model, own_file, families))
    except ModelError:
        return None


def check_projector(path: Path, text: GGUFHeader) -> None:
    """Check whether a projector can belong to a text model.

    Args:
        path: The projector's file.
        text: The header of the text model.

    Raises:
        PullFailed: The file is no projector for images, or it does not fit the model.
        ModelCorrupt: The file is damaged, or is not a GGUF file.
    """
    header = read_header(path)
    if not is_projector(header):
        message = f"`{path.name}` is not a projector: its architecture is `{header.architecture}`"
        raise PullFailed(message, hint="a projector is a GGUF file of the architecture `clip`, often called `mmproj`")
    if not any(name.startswith(_ENCODER) for name in header.tensors):
        raise PullFailed(f"`{path.name}` has no vision encoder", hint="name a projector that was made for images")
    if has_vision(text):
        message = f"`{text.path.name}` has a vision encoder of its own, so it takes no projector"
        raise PullFailed(message, hint=f"leave out `{path.name}`")
    width = _output_width(header)
    if width and text.embedding_length and width != text.embedding_length:
        message = f"`{path.name}` gives {width} numbers a token, and `{text.path.name}` takes {text.embedding_length}"
        raise PullFailed(message, hint="name the projector that was made for this model")


def _output_width(header: GGUFHeader) -> int:
    """Return how many numbers a projector gives for each token; 0 where the file does not say it clearly."""
    last = header.tensors.get(_LAST)
    if last is not None and len(last.shape) == 2:
        return last.shape[0]
    kind = header.metadata.get("clip.projector_type", header.metadata.get("clip.vision.projector_type", "mlp"))
    return 0 if kind in _OTHER_DIMENSIONS else _size(header.metadata, "clip.vision.projection_dim")


def _facts(header: GGUFHeader, file: VisionFile, part: VisionPart | None) -> VisionFacts:
    texts = set(text_tensors(header))
    sizes: Counter[str] = Counter()
    for name, tensor in header.tensors.items():
        if name not in texts:
            sizes[tensor.type.name] += tensor.values
    return VisionFacts(
        architecture=header.architecture,
        projector=file.projector,
        parameters=sum(sizes.values()),
        embedding_length=_size(file.metadata, "embedding_length"),
        dimensions=_output_width(header) if is_projector(header) else header.embedding_length,
        image_size=_size(file.metadata, "image_size"),
        patch_size=_size(file.metadata, "patch_size"),
        family="" if part is None else part.family.name,
        boxes="" if part is None or part.family.boxes is None else str(part.family.boxes),
        image_tokens=_image_tokens(part),
        file_type=max(sizes, key=sizes.__getitem__, default=""),
    )


def _part(model: Path, projector: Path | None, families: Families | None) -> VisionPart | None:
    """Return the vision encoder as its family reads it; None where no family does."""
    from olpipe.families.vision_part import find_vision

    try:
        return find_vision(model, projector, families)
    except (ModelError, PluginError):
        return None


def _image_tokens(part: VisionPart | None) -> int:
    """Return how many tokens a large image becomes; 0 where no family reads the encoder."""
    if part is None:
        return 0
    try:
        with blaming(part.whose):
            return part.family.fit(part.config, _LARGE_SIDE, _LARGE_SIDE, part.family.usual_tokens).tokens
    except PluginError:
        return 0


def _size(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return value if type(value) is int and value > 0 else 0
