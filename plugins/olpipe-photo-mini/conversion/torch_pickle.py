"""Read tensors from a PyTorch checkpoint as it was saved before version 1.6, without PyTorch.

Such a file holds five pickles, one after the other: magic number, protocol, system, tensors, storage keys. Then comes
each storage, in the order of the keys: its length as int64, then its values. Pickles can run any code, so this reader
allows four names and refuses all others.

Source: https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    """A flat array of values that tensors are views of."""

    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage. Offset and strides count values, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors as descriptions, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"`{module}.{name}` has no place among tensors")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key = pid[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"`{kind}` has no place among tensors")
        return _Storage(key, dtype)


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a state dict by name.

    Raises:
        ValueError: The file is not such a checkpoint.
        pickle.UnpicklingError: The file holds something else than tensors.
    """
    with path.open("rb") as file:
        if _load(file) != MAGIC_NUMBER:
            raise ValueError(f"{path} is not a PyTorch checkpoint of the old format")
        _load(file), _load(file)  # protocol and system: neither matters on a little-endian machine
        tensors: dict[str, _Tensor] = _load(file)
        keys: list[str] = _load(file)
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key], count)
    return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(file: BinaryIO) -> Any:
    return _Unpickler(file).load()


def _view(tensor: _Tensor, storage: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of a tensor's values. The strides need not be those of a contiguous array."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= storage.size:
        raise ValueError(f"a tensor reaches to value {last} of a storage of {storage.size}")
    steps = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps).copy()
