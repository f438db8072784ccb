"""Find the vision encoder in a GGUF file, and read it by the names that llama.cpp gives its tensors.

There are two kinds of files. A *projector file* has nothing but the vision encoder. It has the architecture `clip`. In
Ollama's own files, the vision encoder lies beside the text model, under names of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from olpipe.convert.floats import Floats, FloatTensors, Order
from olpipe.convert.gguf import GGUFFile, GGUFHeader, shown
from olpipe.convert.vision_names import DIALECTS, OTHER_VALUES, Dialect, translated
from olpipe.errors import ModelCorrupt, ModelUnsupported

PROJECTOR_ARCHITECTURE = "clip"
"""The architecture of projector files."""

_PREFIXES = ("v.", "mm.")  # of the names of all tensors of a vision encoder
_PATCHES, _SECOND_PATCHES = "v.patch_embd.weight", "v.patch_embd.weight.1"
_FRAMES = 2  # of a video, for which the files of Qwen have a matrix each


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor is.

    Attributes:
        name: Its name in the file.
        shape: Its shape, the outermost dimension first.
        frame: Which frame of a video it is for, where one tensor in the file holds the matrices of two; otherwise None.
    """

    name: str
    shape: tuple[int, ...]
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class VisionFile:
    """The vision encoder in a file. It is the `VisionTensors` that a family reads.

    Attributes:
        projector: The `clip.projector_type`, or the one that belongs to the architecture of the text model.
        metadata: What the file says about it, by the names that follow `clip.vision.` in files of llama.cpp, or else
            those that follow `clip.`.
        floats: The tensors of the file.
        places: Where the tensors are, by the names that llama.cpp gives them.
    """

    projector: str
    metadata: Mapping[str, Any]
    floats: FloatTensors
    places: Mapping[str, _Place]

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        return self.places.keys()

    def has(self, name: str) -> bool:
        """Say whether there is a tensor of a name."""
        return name in self.places

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, the outermost dimension first."""
        return self.places[name].shape

    def rows(self, name: str, order: Order | None = None) -> Iterator[Floats]:
        """Yield the rows of a matrix, (some rows, columns) at a time; raises what `FloatTensors.rows` raises."""
        return self.floats.rows(self.places[name].name, order)

    def vector(self, name: str) -> Floats:
        """Return a vector, (values,); raises what `FloatTensors.rows` raises."""
        return self.floats.vector(self.places[name].name)

    def array(self, name: str) -> Floats:
        """Return a whole tensor in its shape; raises what `FloatTensors.rows` raises."""
        place = self.places[name]
        if len(place.shape) == 1:
            return self.vector(name)
        values = np.concatenate(list(self.floats.rows(place.name)))
        if place.frame is None:
            return values.reshape(place.shape)
        width, colours, height, columns = place.shape
        frames = values.reshape(width, colours, _FRAMES, height, columns)
        return np.ascontiguousarray(frames[:, :, place.frame])


def has_vision(header: GGUFHeader) -> bool:
    """Say whether a file holds a vision encoder, alone or beside a text model."""
    return header.architecture == PROJECTOR_ARCHITECTURE or any(map(is_vision_tensor, header.tensors))


def text_tensors(header: GGUFHeader) -> Collection[str]:
    """Return the names of the tensors that belong to the text model."""
    if header.architecture == PROJECTOR_ARCHITECTURE:
        return ()
    return [name for name in header.tensors if not is_vision_tensor(name)]


def open_vision(source: GGUFFile) -> VisionFile:
    """Find the vision encoder in a file.

    Raises:
        ModelCorrupt: The file contradicts itself.
        ModelUnsupported: The file has no vision encoder, or one of a kind that cannot be read.
    """
    header = source.header
    if not has_vision(header):
        raise ModelUnsupported(f"`{header.path}` has no vision encoder", hint="name a projector file (mmproj)")
    if header.architecture == PROJECTOR_ARCHITECTURE:
        return _projector_file(source)
    dialect = DIALECTS.get(header.architecture)
    if dialect is None:
        raise ModelUnsupported(
            f"`{header.path}` has a text model `{shown(header.architecture)}` with its vision encoder in the same file,"
            f" which cannot be read",
            hint=f"of such files, those with {', '.join(f'`{name}`' for name in DIALECTS)} can be read",
        )
    return _whole_file(source, dialect)


def is_vision_tensor(name: str) -> bool:
    """Say whether a tensor belongs to a vision encoder, by its name."""
    return name.startswith(_PREFIXES)


def _projector_file(source: GGUFFile) -> VisionFile:
    """Read a file that has nothing but a vision encoder."""
    header = source.header
    if header.metadata.get("clip.has_vision_encoder") is False:
        raise ModelUnsupported(f"`{header.path}` has no vision encoder", hint="name a projector file for images")
    metadata = _after("clip.", header) | _after("clip.vision.", header)
    projector = metadata.get("projector_type", "mlp")
    if not isinstance(projector, str):
        raise ModelCorrupt(f"`{header.path}` says `clip.projector_type` is {repr(projector)[:40]}, not a name")
    places = {name: _Place(name, tensor.shape) for name, tensor in header.tensors.items()}
    places = _right_way_round(places, metadata.get("embedding_length"))
    return VisionFile(projector, metadata, FloatTensors(source), places)


def _whole_file(source: GGUFFile, dialect: Dialect) -> VisionFile:
    """Read the vision encoder in a file of Ollama."""
    # 1. The tensors by their other names.
    header = source.header
    stated = _after(f"{header.architecture}.vision.", header)
    deep = stated.get("deepstack_visual_indexes", ())
    if not isinstance(deep, tuple) or not all(type(layer) is int and layer >= 0 for layer in deep):
        raise ModelCorrupt(f"`{header.path}` says `deepstack_visual_indexes` is {repr(deep)[:40]}, not blocks")
    places: dict[str, _Place] = {}
    for name, tensor in header.tensors.items():
        if not is_vision_tensor(name):
            continue
        known = translated(name, dialect, deep)
        if known in places:
            raise ModelCorrupt(f"`{header.path}` has `{shown(name)}` and `{shown(places[known].name)}`, which are one")
        places[known] = _Place(name, tensor.shape)
    # 2. Where one tensor holds the matrices for two frames of a video, it becomes two.
    patches = places.get(_PATCHES)
    if patches is not None and _SECOND_PATCHES not in places and _holds_two_frames(patches.shape):
        shape = (patches.shape[0] // 3, 3, *patches.shape[2:])
        places |= {name: _Place(patches.name, shape, frame) for frame, name in enumerate((_PATCHES, _SECOND_PATCHES))}
    # 3. What the file says, and what it leaves out. An empty list says nothing, and neither does a zero.
    for name, other in OTHER_VALUES.items():
        if other in stated:
            stated.setdefault(name, stated[other])
    stated = {name: value for name, value in stated.items() if value not in ((), 0, None) or value is False}
    metadata = {**dialect.values, **_worked_out(header, stated, places), **stated}
    return VisionFile(dialect.projector, metadata, FloatTensors(source), places)


def _after(prefix: str, header: GGUFHeader) -> dict[str, Any]:
    """Return the values whose keys begin with a prefix, by what follows it."""
    return {key.removeprefix(prefix): value for key, value in header.metadata.items() if key.startswith(prefix)}


def _holds_two_frames(shape: tuple[int, ...]) -> bool:
    """Say whether a tensor is (width * colours, frames, height, width of a patch)."""
    return len(shape) == 4 and shape[0] % 3 == 0 and shape[1] == _FRAMES


def _worked_out(header: GGUFHeader, stated: Mapping[str, Any], places: Mapping[str, _Place]) -> dict[str, Any]:
    """Return what files of Ollama leave out and what follows from the rest of the file."""
    metadata: dict[str, Any] = {"projection_dim": header.embedding_length}
    if (first := places.get("v.blk.0.ffn_up.weight")) is not None:
        metadata["feed_forward_length"] = first.shape[0]
    positions, patch = places.get("v.position_embd.weight"), stated.get("patch_size")
    if positions is not None and isinstance(patch, int):
        metadata["image_size"] = math.isqrt(positions.shape[0]) * patch
    full, deep = stated.get("fullatt_block_indexes"), stated.get("deepstack_visual_indexes")
    if isinstance(full, tuple) and full and isinstance(full[0], int):
        metadata["n_wa_pattern"] = full[0] + 1
    if deep and isinstance(stated.get("block_count"), int):
        metadata["is_deepstack_layers"] = tuple(layer in deep for layer in range(min(stated["block_count"], 1024)))
    tokens, size = header.metadata.get(f"{header.architecture}.mm.tokens_per_image"), stated.get("image_size")
    if isinstance(tokens, int) and isinstance(size, int) and isinstance(patch, int) and min(tokens, patch) > 0:
        metadata["projector.scale_factor"] = size // patch // math.isqrt(tokens)
    return metadata


def _right_way_round(places: Mapping[str, _Place], width: Any) -> dict[str, _Place]:
    """Exchange `ffn_up` and `ffn_down` where a file calls each by the name of the other, as old ones do.

    The matrix that leads out of the block has as many rows as the residual stream has values.

    Args:
        places: Where the tensors are.
        width: The width of the residual stream, as the file says.
    """
    right = dict(places)
    for name, place in places.items():
        block, found, end = name.partition(".ffn_down.")
        if not found or end != "weight" or len(place.shape) != 2 or place.shape[1] != width or place.shape[0] == width:
            continue
        for part in ("weight", "bias"):
            up, down = f"{block}.ffn_up.{part}", f"{block}.ffn_down.{part}"
            if up in places and down in places:
                right[up], right[down] = places[down], places[up]
    return right
