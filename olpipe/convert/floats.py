"""A model's tensors as float32, with an adapter added where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.adapter import Adapter
from olpipe.convert.dequantize import dequantize
from olpipe.convert.gguf import GGUFFile, shown
from olpipe.errors import ModelCorrupt

Floats: TypeAlias = npt.NDArray[np.float32]
Order: TypeAlias = npt.NDArray[np.intp]

_LARGEST = np.float32(1e12)  # far above any weight; sums of its squares still fit a float32

_CHUNK_VALUES = 1 << 22  # float32 values worked on at once


@dataclass(frozen=True, slots=True)
class FloatTensors:
    """Widens the tensors of a GGUF file, a bounded number of values at once."""

    source: GGUFFile
    adapter: Adapter | None = None

    def has(self, name: str) -> bool:
        """Say whether there is a tensor of that name."""
        return name in self.source.header.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, outermost dimension first."""
        return self.source.header.tensors[name].shape

    def rows(self, name: str, order: Order | None = None) -> Iterator[Floats]:
        """Yield a matrix's rows, a chunk of them at once, in another order where one is given.

        Raises:
            ModelCorrupt: It holds values that are no numbers.
            ModelUnsupported: Its storage format is not read.
        """
        info = self.source.header.tensors[name]
        raw = self.source.rows(info)
        step = max(1, _CHUNK_VALUES // info.shape[1])
        for start in range(0, len(raw), step):
            chosen = slice(start, start + step) if order is None else order[start : start + step]
            values = dequantize(raw[chosen], info.type)
            delta = None if self.adapter is None else self.adapter.delta(name, chosen)
            yield self._finite(values if delta is None else values + delta, name)

    def column_sizes(self, name: str) -> Floats:
        """Return the root mean squares of a matrix's columns; raises what `rows` raises."""
        rows, columns = self.shape(name)
        squares = np.zeros(columns)
        for values in self.rows(name):
            squares += np.einsum("ij,ij->j", values, values)
        return np.sqrt(squares / rows).astype(np.float32)

    def vector(self, name: str) -> Floats:
        """Return a vector; raises what `rows` raises."""
        info = self.source.header.tensors[name]
        return self._finite(dequantize(self.source.rows(info), info.type)[0], name)

    def _finite(self, values: Floats, name: str) -> Floats:
        if not (np.abs(values) <= _LARGEST).all():
            raise ModelCorrupt(f"`{self.source.header.path}`: tensor `{shown(name)}` holds values that no weight has")
        return values
