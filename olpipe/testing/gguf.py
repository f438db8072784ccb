"""Write small GGUF files for tests to read."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ALIGNMENT = 32

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_FORMATS = {"F32": 0, "F16": 1, "Q8_0": 8}
_BLOCK = 32


def write_gguf(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[np.float32]],
    *,
    formats: Mapping[str, str] | None = None,
) -> None:
    """Write a GGUF file of version 3.

    Args:
        path: The file; it is replaced.
        metadata: Key -> bool, int (stored as uint32), float (as float32), str, or a sequence of one of them
            (integers as int32).
        tensors: Name -> values.
        formats: Name -> `F16` or `Q8_0`, for tensors that are not stored as `F32`. The format must hold their values
            without rounding.

    Raises:
        ValueError: A format cannot hold the values of a tensor.
    """
    formats = formats or {}
    stored = {name: _stored(values, formats.get(name, "F32")) for name, values in tensors.items()}
    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        header += _text(key) + _value(value)
    offset = 0
    for name, values in tensors.items():
        dimensions, kind = values.shape[::-1], _FORMATS[formats.get(name, "F32")]
        header += _text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        offset += len(stored[name]) + -len(stored[name]) % ALIGNMENT
    with path.open("wb") as file:
        file.write(header + bytes(-len(header) % ALIGNMENT))
        for data in stored.values():
            file.write(data + bytes(-len(data) % ALIGNMENT))


def _stored(values: npt.NDArray[np.float32], form: str) -> bytes:
    """Return the bytes of a tensor in a format."""
    import numpy as np

    if form == "F32":
        return values.astype("<f4").tobytes()
    if form == "F16":
        rounded = values.astype("<f2")
        exact, data = rounded.astype(np.float32), rounded.tobytes()
    else:
        # A block has one scale. Here it is a power of two, so that it can be exact.
        blocks = values.reshape(-1, _BLOCK)
        largest = np.abs(blocks).max(axis=1, keepdims=True).clip(np.finfo(np.float32).tiny)
        scales = np.exp2(np.ceil(np.log2(largest / 127))).astype("<f2")
        codes = np.rint(blocks / scales.astype(np.float32)).astype(np.int8)
        exact = (codes * scales.astype(np.float32)).reshape(values.shape)
        data = np.hstack([scales.view(np.uint8), codes.view(np.uint8)]).tobytes()
    if not np.array_equal(exact, values):
        raise ValueError(f"{form} cannot hold these values without rounding")
    return data


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, Sequence) and not isinstance(value, str):
        kind, items = _items(value)
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items
    if isinstance(value, int) and not isinstance(value, bool):
        return struct.pack("<II", _UINT32, value)
    kind, item = _items([value])
    return struct.pack("<I", kind) + item


def _items(values: Sequence[Any]) -> tuple[int, bytes]:
    """Return the value type of the first item and the bytes of all."""
    match values[0]:
        case str():
            return _STRING, b"".join(map(_text, values))
        case bool():
            return _BOOL, struct.pack(f"<{len(values)}?", *values)
        case int():
            return _INT32, struct.pack(f"<{len(values)}i", *values)
        case float():
            return _FLOAT32, struct.pack(f"<{len(values)}f", *values)
    raise TypeError(f"a {type(values[0]).__name__} cannot stand in a GGUF file")
