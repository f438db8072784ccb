"""Open safetensors files with the library of that name, within bounds, so that a hostile file costs little.

The library checks that the tensors fill the file without a gap or an overlap. But it takes headers of up to 100 MB, any
number of dimensions, and types that numpy does not have. All of these are limited here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.gguf import shown

Floats: TypeAlias = npt.NDArray[np.float32]

FLOAT_TYPES = ("F16", "F32")
"""The types that are read, as safetensors files name them."""

MAX_DIMENSIONS = 8

_LENGTH = struct.Struct("<Q")  # a file begins with the length of its header
_CHUNK_VALUES = 1 << 22  # values that are read at once
_REASON_LETTERS = 160  # of the library's own message, which may repeat a tensor's name
_LARGEST = np.float32(1e12)  # far above any weight; sums of its squares still fit a float32


class Malformed(Exception):
    """A file is damaged. The message says what is wrong in a few words, and the caller adds the name of the file."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """How one tensor is stored.

    Attributes:
        dtype: The type of its values: `F32`, `I64`, …
        shape: Its sizes, the outermost dimension first.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class TensorFile:
    """An open safetensors file.

    Attributes:
        metadata: The texts that the file has beside its tensors.
        tensors: How each tensor is stored, by its name.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, StoredTensor]
    _handle: Any

    def read(self, name: str) -> Floats:
        """Read a whole tensor as float32.

        Raises:
            Malformed: The tensor is of another type than `FLOAT_TYPES`, or it holds values that cannot be weights.
        """
        self._check_type(name)
        return _widened(self._handle.get_tensor(name), name)

    def rows(self, name: str) -> Iterator[Floats]:
        """Yield the rows of a tensor as float32, (some rows, columns) at a time; raises what `read` raises."""
        self._check_type(name)
        stored = self._handle.get_slice(name)
        rows, *rest = self.tensors[name].shape
        step = max(1, _CHUNK_VALUES // max(1, math.prod(rest)))
        for start in range(0, rows, step):
            yield _widened(stored[start : min(start + step, rows)], name)

    def _check_type(self, name: str) -> None:
        dtype = self.tensors[name].dtype
        if dtype not in FLOAT_TYPES:
            raise Malformed(f"`{shown(name)}` is of type `{dtype}`, not one of {', '.join(FLOAT_TYPES)}")


@contextmanager
def open_tensors(path: Path, *, max_header_bytes: int) -> Iterator[TensorFile]:
    """Open a safetensors file and read its header.

    Args:
        path: The file.
        max_header_bytes: A longer header is refused before it is read.

    Raises:
        Malformed: The file is damaged, or it is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    _check_length(path, max_header_bytes)
    try:
        with safe_open(path, framework="np") as handle:
            yield TensorFile(handle.metadata() or {}, _described(handle), handle)
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise Malformed(repr(reason[:_REASON_LETTERS])[1:-1]) from None


def _check_length(path: Path, max_header_bytes: int) -> None:
    """Check the length of a file's header, before the library reads it."""
    size = path.stat().st_size
    if size < _LENGTH.size:
        raise Malformed("it is too short")
    with path.open("rb") as file:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > min(max_header_bytes, size - _LENGTH.size):
        raise Malformed(f"it claims a header of {length} bytes in {size}")


def _described(handle: Any) -> dict[str, StoredTensor]:
    """Return how each tensor of an open file is stored."""
    tensors = {}
    for name in handle.keys():  # noqa: SIM118 - the handle is not a mapping
        stored = handle.get_slice(name)
        shape = tuple(stored.get_shape())
        if len(shape) > MAX_DIMENSIONS:
            raise Malformed(f"`{shown(name)}` has {len(shape)} dimensions")
        tensors[name] = StoredTensor(stored.get_dtype(), shape)
    return tensors


def _widened(values: npt.NDArray[Any], name: str) -> Floats:
    """Return values as float32, and refuse those that cannot be weights."""
    floats: Floats = values.astype(np.float32)
    largest = np.abs(floats).max(initial=0)
    if not largest <= _LARGEST:
        what = "values that cannot be weights" if np.isfinite(largest) else "values that are infinite or not numbers"
        raise Malformed(f"`{shown(name)}` holds {what}")
    return floats
