"""Read GGUF files (versions 2 and 3), trusting nothing in them.

A file is mapped, never read whole. Every count, length and offset is compared with the size of the
file before it is used, so a damaged or hostile file costs one clear `ModelCorrupt`, not memory or time.
Source of the layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.tensor_types import FILE_TYPES, TENSOR_TYPES, TensorType
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported

Bytes: TypeAlias = npt.NDArray[np.uint8]

# Far above what real files hold; they bound the memory that a header can take.
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16
MAX_ARRAY_ITEMS = 1 << 22  # over all arrays together
MAX_NAME_BYTES = 1 << 16
MAX_HEADER_BYTES = 1 << 28
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16

_SHOWN_LETTERS = 80

_DAMAGED = "the file is damaged or incomplete: fetch it again"

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies.

    Attributes:
        name: Its name: `blk.0.attn_q.weight`.
        shape: Outermost dimension first, as numpy has it (the file has it the other way round).
        type: Its storage format.
        offset: First byte, from the start of the file.
        size_bytes: Bytes it takes.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    size_bytes: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """All of a GGUF file but the weights themselves.

    Attributes:
        path: The file.
        version: Of the GGUF format.
        metadata: Key -> int, float, bool, str, or a tuple of them.
        tensors: Name -> where it lies, in the file's order.
    """

    path: Path
    version: int
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]

    @property
    def architecture(self) -> str:
        """`llama`, `qwen2`, …; empty when the file does not say."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def parameter_count(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.values for tensor in self.tensors.values())

    @property
    def context_length(self) -> int:
        """Tokens the model was made for; 0 when the file does not say."""
        return self._architecture_int("context_length")

    @property
    def embedding_length(self) -> int:
        """Width of the model; 0 when the file does not say."""
        return self._architecture_int("embedding_length")

    @property
    def file_type(self) -> str:
        """The quantisation: as the file names it, else the type of most weights."""
        named = self.metadata.get("general.file_type")
        if isinstance(named, int) and named in FILE_TYPES:
            return FILE_TYPES[named]
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.type.name] += tensor.values
        return max(sizes, key=sizes.__getitem__, default="")

    def _architecture_int(self, key: str) -> int:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else 0


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """An open GGUF file: its header, and its bytes mapped read-only. It closes with its last reference."""

    header: GGUFHeader
    data: Bytes

    def rows(self, tensor: TensorInfo) -> Bytes:
        """Return a tensor's bytes without copying, shape (rows, bytes of a row); a vector is one row."""
        row_values = tensor.shape[-1]
        row_bytes = row_values // tensor.type.block_size * tensor.type.block_bytes
        return self.data[tensor.offset : tensor.offset + tensor.size_bytes].reshape(-1, row_bytes)


def open_gguf(path: Path) -> GGUFFile:
    """Map a GGUF file and check its header.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: It is not a GGUF file, or a damaged one.
        ModelUnsupported: A version of the format that is not read.
    """
    if not path.is_file():
        raise ModelNotFound(f"`{path}` is not a file", hint="name a .gguf file")
    if path.stat().st_size == 0:
        raise ModelCorrupt(f"`{path}` is empty", hint=_DAMAGED)
    data = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        header = _Parser(path, data).header()
    except _Malformed as error:
        raise ModelCorrupt(f"`{path}` is not a sound GGUF file: {error}", hint=_DAMAGED) from None
    return GGUFFile(header, data)


def read_header(path: Path) -> GGUFHeader:
    """Read everything but the weights; raises what `open_gguf` raises."""
    return open_gguf(path).header


def shown(text: str) -> str:
    """Return a name or a text of a file fit for a line of ours: its beginning, control characters escaped."""
    return repr(text[:_SHOWN_LETTERS])[1:-1]


class _Malformed(Exception):
    """What is wrong with the bytes; `open_gguf` adds the file's name."""


class _Parser:
    """A cursor over the mapped bytes."""

    def __init__(self, path: Path, data: Bytes) -> None:
        self._path = path
        self._view = memoryview(data.data)
        self._size = len(self._view)
        self._end = min(self._size, MAX_HEADER_BYTES)
        self._at = 0
        self._items_left = MAX_ARRAY_ITEMS

    def header(self) -> GGUFHeader:
        if bytes(self._take(4, "the magic number")) != b"GGUF":
            raise _Malformed("it does not begin with `GGUF`")
        version = self._integer("I", "the version")
        if version not in (2, 3):
            what = "a big-endian file" if version & 0xFFFF == 0 else f"version {version} of the format"
            raise ModelUnsupported(f"`{self._path}` is {what}", hint="use a little-endian GGUF file of version 2 or 3")
        tensor_count = self._count(MAX_TENSORS, 24, "tensors")
        key_count = self._count(MAX_KEYS, 13, "metadata keys")
        metadata = self._metadata(key_count)
        return GGUFHeader(self._path, version, metadata, self._tensors(tensor_count, _alignment(metadata)))

    def _take(self, size: int, what: str) -> memoryview:
        if size > self._end - self._at:
            raise _Malformed(f"{what} reaches past byte {self._end}, where the header has to end")
        start, self._at = self._at, self._at + size
        return self._view[start : self._at]

    def _integer(self, code: str, what: str) -> int:
        (value,) = struct.unpack("<" + code, self._take(struct.calcsize(code), what))
        return int(value)

    def _count(self, limit: int, least_bytes: int, what: str) -> int:
        """Read a 64-bit count of things that take at least `least_bytes` each."""
        count = self._integer("Q", f"the number of {what}")
        if count > limit or count * least_bytes > self._end - self._at:
            raise _Malformed(f"it claims {count} {what} in {self._size} bytes")
        return count

    def _string(self, limit: int, what: str) -> str:
        length = self._integer("Q", what)
        if length > limit:
            raise _Malformed(f"{what} claims {length} bytes")
        try:
            return str(self._take(length, what), "utf-8")
        except UnicodeDecodeError:
            raise _Malformed(f"{what} is not UTF-8, before byte {self._at}") from None

    def _metadata(self, count: int) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        for _ in range(count):
            key = self._string(MAX_NAME_BYTES, "a metadata key")
            if key in metadata:
                raise _Malformed(f"the metadata key `{shown(key)}` is there twice")
            what = f"`{shown(key)}`"
            metadata[key] = self._value(self._integer("I", what), what)
        return metadata

    def _value(self, kind: int, what: str) -> Any:
        if kind == _STRING:
            return self._string(self._end, what)
        if kind == _ARRAY:
            return self._array(what)
        return self._scalars(kind, 1, what)[0]

    def _array(self, what: str) -> tuple[Any, ...]:
        kind = self._integer("I", what)
        least = 8 if kind == _STRING else 1
        count = self._count(self._items_left, least, f"items in {what}")
        self._items_left -= count
        if kind == _STRING:
            return tuple(self._string(self._end, what) for _ in range(count))
        return self._scalars(kind, count, what)

    def _scalars(self, kind: int, count: int, what: str) -> tuple[Any, ...]:
        code = _SCALARS.get(kind)
        if code is None:
            raise _Malformed(f"{what} has the unknown value type {kind}")
        layout = struct.Struct(f"<{count}{code}")
        return layout.unpack(self._take(layout.size, what))

    def _tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        found = [self._tensor(alignment) for _ in range(count)]
        data_start = -(-self._at // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in found:
            size = math.prod(shape) // kind.block_size * kind.block_bytes
            if data_start + offset + size > self._size:
                raise _Malformed(f"tensor `{shown(name)}` reaches past the end of the file, byte {self._size}")
            if name in tensors:
                raise _Malformed(f"tensor `{shown(name)}` is there twice")
            tensors[name] = TensorInfo(name, shape, kind, data_start + offset, size)
        in_order = sorted(tensors.values(), key=lambda tensor: tensor.offset)
        for before, after in pairwise(in_order):
            if before.offset + before.size_bytes > after.offset:
                raise _Malformed(f"tensors `{shown(before.name)}` and `{shown(after.name)}` overlap")
        return tensors

    def _tensor(self, alignment: int) -> tuple[str, tuple[int, ...], TensorType, int]:
        name = self._string(MAX_NAME_BYTES, "a tensor's name")
        what = f"tensor `{shown(name)}`"
        dimensions = self._integer("I", what)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise _Malformed(f"{what} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions, what))
        number = self._integer("I", what)
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise _Malformed(f"{what} has the unknown type {number}")
        if 0 in shape or shape[0] % kind.block_size:
            raise _Malformed(f"{what} of type {kind.name} cannot have the shape {list(shape)}")
        offset = self._integer("Q", what)
        if offset % alignment:
            raise _Malformed(f"{what} lies at {offset}, which is no multiple of {alignment}")
        return name, tuple(reversed(shape)), kind, offset


def _alignment(metadata: Mapping[str, Any]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
        raise _Malformed(f"`general.alignment` is {repr(value)[:_SHOWN_LETTERS]}, not a power of two")
    return value
