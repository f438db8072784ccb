"""Read and write low-rank adapters, trusting nothing that is read, and add them to the weights they were trained for.

An adapter is a safetensors file. For a tensor `blk.0.attn_q.weight` of the model it has A as `blk.0.attn_q.weight.a`,
(rank, columns), and B as `blk.0.attn_q.weight.b`, (rows, rank), and its metadata have a `scale`: the tensor becomes
W + scale * B @ A.
Source of the layout: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.gguf import GGUFHeader
from olpipe.errors import ModelCorrupt, ModelNotFound

Floats: TypeAlias = npt.NDArray[np.float32]

# Far above what adapters of convertible models have.
MAX_HEADER_BYTES = 1 << 22
MAX_RANK = 512
MAX_SCALE = 1000

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Adapter:
    """What to add to some of a model's matrices.

    Attributes:
        path: The file.
        pairs: A (rank, columns) and B (rows, rank), which has the scale in it, by the name of the model's tensor.
    """

    path: Path
    pairs: Mapping[str, tuple[Floats, Floats]]

    def check(self, header: GGUFHeader) -> None:
        """Compare with the model that it is for.

        Raises:
            ModelCorrupt: It was made for another model.
        """
        for name, (a, b) in self.pairs.items():
            tensor = header.tensors.get(name)
            if tensor is None or not name.startswith("blk."):
                raise ModelCorrupt(f"`{self.path}` adapts `{name}`, which is no layer's matrix of `{header.path}`")
            shape = (b.shape[0], a.shape[1])
            if tensor.shape != shape:
                raise ModelCorrupt(f"`{self.path}` adapts `{name}` as {shape}, but it is {tensor.shape}")

    def delta(self, name: str, rows: slice | npt.NDArray[np.intp]) -> Floats | None:
        """Return what to add to some rows of a tensor, or None where that is nothing."""
        pair = self.pairs.get(name)
        if pair is None:
            return None
        a, b = pair
        return b[rows] @ a


def read_adapter(path: Path) -> Adapter:
    """Read an adapter.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: It is not an adapter, or a damaged one.
    """
    if not path.is_file():
        raise ModelNotFound(f"`{path}` is not a file", hint="name an adapter's file")
    try:
        return Adapter(path, _pairs(path))
    except _Malformed as error:
        raise ModelCorrupt(
            f"`{path}` is not a sound adapter: {error}", hint="the file is damaged or incomplete: fetch it again"
        ) from None


def write_adapter(path: Path, pairs: Mapping[str, tuple[Floats, Floats]], *, scale: float) -> None:
    """Write an adapter, in float16.

    Args:
        path: The file; it is replaced.
        pairs: A (rank, columns) and B (rows, rank) by the name of the model's tensor.
        scale: What their product is multiplied by.
    """
    header: dict[str, Any] = {"__metadata__": {"scale": str(scale)}}
    data = bytearray()
    for name, pair in pairs.items():
        for part, values in zip("ab", pair, strict=True):
            begin = len(data)
            data += values.astype("<f2").tobytes()
            place = {"dtype": "F16", "shape": list(values.shape), "data_offsets": [begin, len(data)]}
            header[f"{name}.{part}"] = place
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(_LENGTH.pack(len(text)) + text + data)


class _Malformed(Exception):
    """What is wrong with the bytes; `read_adapter` adds the file's name."""


def _pairs(path: Path) -> dict[str, tuple[Floats, Floats]]:
    with path.open("rb") as file:
        size = path.stat().st_size
        header, start = _header(file, size)
        scale = _scale(header.pop("__metadata__", None))
        places = _places(header, size - start)
        pairs: dict[str, tuple[Floats, Floats]] = {}
        for name in sorted({key[:-2] for key in places}):
            if not {f"{name}.a", f"{name}.b"} <= places.keys():
                raise _Malformed(f"`{name}` has not both of its factors, `.a` and `.b`")
            a, b = (_read(file, start, f"{name}.{part}", places[f"{name}.{part}"]) for part in "ab")
            if a.shape[0] != b.shape[1]:
                raise _Malformed(f"the factors of `{name}`, {a.shape} and {b.shape}, have different ranks")
            pairs[name] = (a, b * scale)
    return pairs


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the JSON header, and where the tensors begin."""
    if size < _LENGTH.size:
        raise _Malformed("it is too short")
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > min(MAX_HEADER_BYTES, size - _LENGTH.size):
        raise _Malformed(f"it claims a header of {length} bytes in {size}")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise _Malformed("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _Malformed("its header is not an object of named tensors")
    return header, _LENGTH.size + length


def _scale(metadata: object) -> np.float32:
    text = metadata.get("scale") if isinstance(metadata, dict) else None
    try:
        scale = float(text if isinstance(text, str) else "")
    except ValueError:
        raise _Malformed("its metadata have no number `scale`") from None
    if not abs(scale) <= MAX_SCALE:
        raise _Malformed(f"its scale is {scale}")
    return np.float32(scale)


@dataclass(frozen=True, slots=True)
class _Place:
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    begin: int
    end: int


def _places(header: Mapping[str, Any], data_bytes: int) -> dict[str, _Place]:
    """Return where each tensor lies; together they fill the file, without a gap or an overlap."""
    places: dict[str, _Place] = {}
    for key, entry in header.items():
        if not key.endswith((".a", ".b")):
            raise _Malformed(f"`{key:.80}` is neither an `.a` nor a `.b`")
        places[key] = _place(key, entry)
    at = 0
    for key, place in sorted(places.items(), key=lambda item: item[1].begin):
        if place.begin != at:
            raise _Malformed(f"`{key}` does not begin where the tensor before it ends, at byte {at}")
        at = place.end
    if at != data_bytes or not places:
        raise _Malformed(f"its tensors take {at} bytes, and it has {data_bytes}")
    return places


def _place(key: str, entry: object) -> _Place:
    if not isinstance(entry, dict):
        raise _Malformed(f"`{key}` is not described by an object")
    dtype = _DTYPES.get(str(entry.get("dtype")))
    if dtype is None:
        raise _Malformed(f"`{key}` is of type {entry.get('dtype')!r:.40}, not one of {', '.join(_DTYPES)}")
    shape, offsets = _two_counts(entry.get("shape")), _two_counts(entry.get("data_offsets"))
    if shape is None or offsets is None:
        raise _Malformed(f"`{key}` has no two dimensions or no two offsets")
    if 0 in shape or shape[0 if key.endswith(".a") else 1] > MAX_RANK:
        raise _Malformed(f"`{key}` has the shape {shape}, which is empty or of a rank above {MAX_RANK}")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise _Malformed(f"`{key}` of shape {shape} takes {end - begin} bytes")
    return _Place(dtype, shape, begin, end)


def _two_counts(value: object) -> tuple[int, int] | None:
    match value:
        case [int(first), int(second)] if min(first, second) >= 0 and bool not in (type(first), type(second)):
            return first, second
    return None


def _read(file: BinaryIO, start: int, key: str, place: _Place) -> Floats:
    file.seek(start + place.begin)
    values = np.frombuffer(file.read(place.end - place.begin), place.dtype).reshape(place.shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise _Malformed(f"`{key}` holds infinities or no numbers at all")
    return values
