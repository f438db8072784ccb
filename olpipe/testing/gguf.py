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
_F32 = 0


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write a GGUF file of version 3 with float32 tensors.

    Args:
        path: The file; it is replaced.
        metadata: Key -> bool, int (stored as uint32), float (as float32), str, or a sequence of one of them
            (integers as int32).
        tensors: Name -> values.
    """
    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        header += _text(key) + _value(value)
    offset = 0
    for name, values in tensors.items():
        dimensions = values.shape[::-1]
        header += _text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, _F32, offset)
        offset += values.nbytes + -values.nbytes % ALIGNMENT
    with path.open("wb") as file:
        file.write(header + bytes(-len(header) % ALIGNMENT))
        for values in tensors.values():
            data = values.astype("<f4").tobytes()
            file.write(data + bytes(-len(data) % ALIGNMENT))


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
