"""Read GGUF files (versions 2 and 3). Nothing in them is trusted.

A file is mapped into memory, and never read as a whole. Every count, length and offset is compared with the size of the
file before it is used. So a damaged or hostile file gives a clear `ModelCorrupt`, and takes neither much memory nor
much time. Source of the layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
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

from olpipe.convert.mistaken import DAMAGED, mistaken
from olpipe.convert.tensor_types import FILE_TYPES, TENSOR_TYPES, TensorType
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported

Bytes: TypeAlias = npt.NDArray[np.uint8]

# These limits are far above what real files have. They bound the memory that a header can take.
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16
MAX_ARRAY_ITEMS = 1 << 22  # over all arrays together
MAX_NAME_BYTES = 1 << 16
MAX_HEADER_BYTES = 1 << 28
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16

_SHOWN_LETTERS = 80  # of a name out of a file
_MAGIC = b"GGUF"

# The types of metadata values, as the file numbers them, and the codes of `struct` for those of a fixed size.
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor is, and how it is stored.

    Attributes:
        name: Its name, such as `blk.0.attn_q.weight`.
        shape: Its sizes, the outermost dimension first, as in numpy. The file has them in the opposite order.
        type: Its storage format.
        offset: Where it begins, in bytes from the start of the file.
        size_bytes: How many bytes it takes.
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
    """Everything in a GGUF file except the weights themselves.

    Attributes:
        path: The file.
        version: The version of the GGUF format.
        metadata: The values by their keys. A value is an int, a float, a bool, a str, or a tuple of one of these.
        tensors: The tensors by their names, in the file's order.
    """

    path: Path
    version: int
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]

    @property
    def architecture(self) -> str:
        """The architecture, such as `llama` or `qwen2`; empty when the file does not say."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def parameter_count(self) -> int:
        """How many numbers all tensors have together."""
        return sum(tensor.values for tensor in self.tensors.values())

    @property
    def context_length(self) -> int:
        """How many tokens the model was made for; 0 when the file does not say."""
        return self._architecture_int("context_length")

    @property
    def embedding_length(self) -> int:
        """Width of the model; 0 when the file does not say."""
        return self._architecture_int("embedding_length")

    @property
    def file_type(self) -> str:
        """The quantisation that the file names, or else the type of most weights."""
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
    """An open GGUF file. It is closed when nothing refers to it any more.

    Attributes:
        header: Its header.
        data: Its bytes, (size of the file,) uint8. They are mapped into memory and cannot be written.
    """

    header: GGUFHeader
    data: Bytes

    def rows(self, tensor: TensorInfo) -> Bytes:
        """Return the bytes of a tensor without copying them, (rows, bytes of a row). A vector is one row."""
        row_values = tensor.shape[-1]
        row_bytes = row_values // tensor.type.block_size * tensor.type.block_bytes
        return self.data[tensor.offset : tensor.offset + tensor.size_bytes].reshape(-1, row_bytes)


def open_gguf(path: Path) -> GGUFFile:
    """Map a GGUF file and check its header.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The file is damaged, or it is not a GGUF file.
        ModelUnsupported: The file has a version of the format that cannot be read.
    """
    if not path.is_file():
        raise ModelNotFound(f"`{path}` is not a file", hint="name a .gguf file")
    if path.stat().st_size == 0:
        raise ModelCorrupt(f"`{path}` is empty", hint=DAMAGED)
    data = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        header = _Parser(path, data).header()
    except _Malformed as error:
        what, hint = ("", DAMAGED) if bytes(data[:4]) == _MAGIC else mistaken(path)
        said = f"{what}, and not a GGUF file" if what else f"is not a sound GGUF file: {error}"
        raise ModelCorrupt(f"`{path}` {said}", hint=hint) from None
    return GGUFFile(header, data)


def read_header(path: Path) -> GGUFHeader:
    """Read everything but the weights; raises what `open_gguf` raises."""
    return open_gguf(path).header


def shown(text: str) -> str:
    """Return a name or a text from a file so that it fits on one line: shortened, with control characters escaped."""
    return repr(text[:_SHOWN_LETTERS])[1:-1]


class _Malformed(Exception):
    """A file is damaged. The message says what is wrong, and `open_gguf` adds the name of the file."""


class _Parser:
    """Reads the header of a file from its first byte to its last."""

    def __init__(self, path: Path, data: Bytes) -> None:
        self._path = path
        self._view = memoryview(data.data)
        self._size = len(self._view)
        self._end = min(self._size, MAX_HEADER_BYTES)
        self._at = 0  # the byte to read next
        self._items_left = MAX_ARRAY_ITEMS

    def header(self) -> GGUFHeader:
        """Read the whole header."""
        # 1. The magic number and the version. In a big-endian file, the low bytes of the version are zero.
        if bytes(self._take(4, "the magic number")) != _MAGIC:
            raise _Malformed("it does not begin with `GGUF`")
        version = self._integer("I", "the version")
        if version not in (2, 3):
            what = "a big-endian file" if version & 0xFFFF == 0 else f"version {version} of the format"
            raise ModelUnsupported(f"`{self._path}` is {what}", hint="use a little-endian GGUF file of version 2 or 3")
        # 2. How many tensors and keys there are. A tensor takes at least 24 bytes of the header, and a key at least 13.
        tensor_count = self._count(MAX_TENSORS, 24, "tensors")
        key_count = self._count(MAX_KEYS, 13, "metadata keys")
        # 3. The metadata, then the tensors.
        metadata = self._metadata(key_count)
        return GGUFHeader(self._path, version, metadata, self._tensors(tensor_count, _alignment(metadata)))

    def _take(self, size: int, what: str) -> memoryview:
        """Return the next bytes. `what` says what they are, for the error message."""
        if size > self._end - self._at:
            raise _Malformed(f"{what} reaches past byte {self._end}, where the header has to end")
        start, self._at = self._at, self._at + size
        return self._view[start : self._at]

    def _integer(self, code: str, what: str) -> int:
        """Read an integer of a type, by its code in `struct`."""
        (value,) = struct.unpack("<" + code, self._take(struct.calcsize(code), what))
        return int(value)

    def _count(self, limit: int, least_bytes: int, what: str) -> int:
        """Read a 64-bit count of things, and check that so many of them fit into the file.

        Args:
            limit: Most things.
            least_bytes: How many bytes each of them takes at least.
            what: What they are, for the error message.
        """
        count = self._integer("Q", f"the number of {what}")
        if count > limit or count * least_bytes > self._end - self._at:
            raise _Malformed(f"it claims {count} {what} in {self._size} bytes")
        return count

    def _string(self, limit: int, what: str) -> str:
        """Read a text of at most `limit` bytes."""
        length = self._integer("Q", what)
        if length > limit:
            raise _Malformed(f"{what} claims {length} bytes")
        try:
            return str(self._take(length, what), "utf-8")
        except UnicodeDecodeError:
            raise _Malformed(f"{what} is not UTF-8, before byte {self._at}") from None

    def _metadata(self, count: int) -> dict[str, Any]:
        """Read all keys and their values."""
        metadata: dict[str, Any] = {}
        for _ in range(count):
            key = self._string(MAX_NAME_BYTES, "a metadata key")
            if key in metadata:
                raise _Malformed(f"the metadata key `{shown(key)}` is there twice")
            what = f"`{shown(key)}`"
            metadata[key] = self._value(self._integer("I", what), what)
        return metadata

    def _value(self, kind: int, what: str) -> Any:
        """Read a value of a type."""
        if kind == _STRING:
            return self._string(self._end, what)
        if kind == _ARRAY:
            return self._array(what)
        return self._scalars(kind, 1, what)[0]

    def _array(self, what: str) -> tuple[Any, ...]:
        """Read an array. Its items have the same type, and arrays within arrays are refused."""
        kind = self._integer("I", what)
        least = 8 if kind == _STRING else 1
        count = self._count(self._items_left, least, f"items in {what}")
        self._items_left -= count
        if kind == _STRING:
            return tuple(self._string(self._end, what) for _ in range(count))
        return self._scalars(kind, count, what)

    def _scalars(self, kind: int, count: int, what: str) -> tuple[Any, ...]:
        """Read values of a type with a fixed size."""
        code = _SCALARS.get(kind)
        if code is None:
            raise _Malformed(f"{what} has the unknown value type {kind}")
        layout = struct.Struct(f"<{count}{code}")
        return layout.unpack(self._take(layout.size, what))

    def _tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        """Read where all tensors are, and check that they lie within the file and do not overlap."""
        # 1. What the header says. Offsets count from the first byte behind the header, which is aligned.
        found = [self._tensor(alignment) for _ in range(count)]
        data_start = -(-self._at // alignment) * alignment
        # 2. Each tensor must end within the file.
        tensors: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in found:
            size = math.prod(shape) // kind.block_size * kind.block_bytes
            if data_start + offset + size > self._size:
                raise _Malformed(f"tensor `{shown(name)}` reaches past the end of the file, byte {self._size}")
            if name in tensors:
                raise _Malformed(f"tensor `{shown(name)}` is there twice")
            tensors[name] = TensorInfo(name, shape, kind, data_start + offset, size)
        # 3. No two tensors may share bytes.
        in_order = sorted(tensors.values(), key=lambda tensor: tensor.offset)
        for before, after in pairwise(in_order):
            if before.offset + before.size_bytes > after.offset:
                raise _Malformed(f"tensors `{shown(before.name)}` and `{shown(after.name)}` overlap")
        return tensors

    def _tensor(self, alignment: int) -> tuple[str, tuple[int, ...], TensorType, int]:
        """Read what the header says about one tensor: its name, its shape, its type, and its offset in the data."""
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
            raise _Malformed(f"{what} lies at {offset}, which is not a multiple of {alignment}")
        return name, tuple(reversed(shape)), kind, offset


def _alignment(metadata: Mapping[str, Any]) -> int:
    """Return the number of bytes that all offsets are a multiple of."""
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
        raise _Malformed(f"`general.alignment` is {repr(value)[:_SHOWN_LETTERS]}, not a power of two")
    return value
