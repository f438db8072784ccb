"""Read the tensors of a model as float32, with an adapter added if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.adapter import Adapter
from olpipe.convert.dequantize import dequantize
from olpipe.convert.gguf import Bytes, GGUFHeader, TensorInfo, shown
from olpipe.errors import ModelCorrupt

Floats: TypeAlias = npt.NDArray[np.float32]
Order: TypeAlias = npt.NDArray[np.intp]

_LARGEST = np.float32(1e12)  # far above any weight; the sum of squares of such values still fits a float32

_CHUNK_VALUES = 1 << 22  # values that are read at once


class TensorSource(Protocol):
    """Where tensors come from: a GGUF file, or a folder that is presented like one."""

    @property
    def header(self) -> GGUFHeader:
        """Which tensors there are, and how they are stored."""

    def rows(self, tensor: TensorInfo) -> Bytes:
        """Return the bytes of a tensor, (rows, bytes of a row). A vector is one row."""


@dataclass(frozen=True, slots=True)
class FloatTensors:
    """The tensors of a model as float32. A bounded number of values is read at once.

    Attributes:
        source: The model.
        adapter: What is added to some of its matrices; None for nothing.
    """

    source: TensorSource
    adapter: Adapter | None = None

    def has(self, name: str) -> bool:
        """Say whether there is a tensor of a name."""
        return name in self.source.header.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, the outermost dimension first."""
        return self.source.header.tensors[name].shape

    def rows(self, name: str, order: Order | None = None) -> Iterator[Floats]:
        """Yield the rows of a matrix, (some rows, columns) at a time.

        Args:
            name: The matrix.
            order: The numbers of its rows in the order to yield them; None for their own order.

        Raises:
            ModelCorrupt: The matrix holds values that cannot be weights.
            ModelUnsupported: Its storage format cannot be read.
        """
        info = self.source.header.tensors[name]
        raw = self.source.rows(info)
        step = max(1, _CHUNK_VALUES // info.shape[1])
        for start in range(0, len(raw) if order is None else len(order), step):
            chosen = slice(start, start + step) if order is None else order[start : start + step]
            values = dequantize(raw[chosen], info.type)
            delta = None if self.adapter is None else self.adapter.delta(name, chosen)
            yield self._finite(values if delta is None else values + delta, name)

    def column_sizes(self, name: str) -> Floats:
        """Return the root mean square of each column of a matrix, (columns,); raises what `rows` raises."""
        rows, columns = self.shape(name)
        squares = np.zeros(columns)
        for values in self.rows(name):
            squares += np.einsum("ij,ij->j", values, values)
        return np.sqrt(squares / rows).astype(np.float32)

    def vector(self, name: str) -> Floats:
        """Return a vector, (values,); raises what `rows` raises."""
        info = self.source.header.tensors[name]
        return self._finite(dequantize(self.source.rows(info), info.type)[0], name)

    def _finite(self, values: Floats, name: str) -> Floats:
        """Return values, and refuse those that cannot be weights: huge ones, infinite ones, and those not numbers."""
        if not (np.abs(values) <= _LARGEST).all():
            path = self.source.header.path
            raise ModelCorrupt(f"`{path}`: tensor `{shown(name)}` holds values that cannot be weights")
        return values
