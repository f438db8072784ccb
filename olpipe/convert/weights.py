"""Write the weights of an ONNX model to a file of their own, one after the other, so that this takes little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx

# Runtimes map the file into memory. A tensor that begins at a page need not be copied.
_ALIGNMENT = 4096
_INLINE_BYTES = 1024  # a tensor up to this size is written into the model itself


class WeightFile:
    """The external data file of an ONNX model, and the initializers that refer to it.

    Attributes:
        initializers: The weights, as the model's graph lists them.
    """

    def __init__(self, path: Path) -> None:
        self._location = path.name
        self._file = path.open("wb")
        self.initializers: list[onnx.TensorProto] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return any(tensor.name == name for tensor in self.initializers)

    def add(self, name: str, values: npt.NDArray[Any]) -> str:
        """Write one tensor; returns its name. A tiny one becomes a part of the model itself."""
        if values.nbytes <= _INLINE_BYTES:
            self.initializers.append(onnx.numpy_helper.from_array(values, name))
            return name
        return self.stream(name, values.dtype, values.shape, [values])

    def stream(self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...], parts: Iterable[npt.NDArray[Any]]) -> str:
        """Write one tensor piece by piece along its first dimension; returns its name.

        Raises:
            ValueError: The pieces do not have as many values as the shape.
        """
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        start = self._file.tell()
        for part in parts:
            self._file.write(np.ascontiguousarray(part, dtype=dtype).data)
        size = self._file.tell() - start
        if size != math.prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"`{name}` of shape {shape} got {size} bytes")
        tensor = onnx.TensorProto(name=name, dims=shape, data_location=onnx.TensorProto.EXTERNAL)
        tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        for key, value in (("location", self._location), ("offset", str(start)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        self.initializers.append(tensor)
        return name

    def alias(self, name: str, of: str, shape: tuple[int, ...]) -> str:
        """Give a tensor a second name, under which the same bytes have another shape; returns this name."""
        tensor = onnx.TensorProto()
        tensor.CopyFrom(next(tensor for tensor in self.initializers if tensor.name == of))
        tensor.name = name
        tensor.dims[:] = shape
        self.initializers.append(tensor)
        return name
