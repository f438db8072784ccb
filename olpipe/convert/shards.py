"""Read the headers of a model's safetensors files, whether it has one or several. Nothing in them is trusted.

Only headers are read here, and the weights are mapped into memory later. Unlike the library safetensors, this says
where each tensor lies, so that tensors of any type can be read a few rows at a time.
Source of the layout: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeGuard

from olpipe.convert.gguf import MAX_DIMENSIONS, MAX_TENSORS, shown
from olpipe.convert.mistaken import mistaken
from olpipe.convert.model_folder import (
    MAX_HEADER_BYTES,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    NamedTwice,
    named_once,
    read_json,
)
from olpipe.convert.tensor_file import Malformed
from olpipe.errors import ModelCorrupt, ModelUnsupported

VALUE_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
"""How many bytes a value takes, by the types that are read."""

MAX_SHARDS = 4096

_LENGTH = struct.Struct("<Q")  # a file begins with the length of its header
_TEXTS = "__metadata__"
_MAX_SIZE = 1 << 40  # of one dimension; far more than any file holds
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ShardTensor:
    """Where one tensor is, and how it is stored.

    Attributes:
        dtype: The type of its values, one of `VALUE_BYTES`.
        shape: Its sizes, the outermost dimension first.
        path: The file that it is in.
        offset: Where it begins, in bytes from the start of that file.
        size_bytes: How many bytes it takes.
    """

    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    size_bytes: int


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files with a model's weights: one, or those that the index names. They are not opened.

    Raises:
        ModelCorrupt: The index is damaged, a file that it names is missing, or a name leads out of the folder.
    """
    single = folder / WEIGHTS_NAME
    return (single,) if single.is_file() else tuple(sorted(set(_index(folder).values())))


def read_shards(folder: Path) -> dict[str, ShardTensor]:
    """Read the headers of all files with a model's weights.

    Returns:
        The tensors by their names.

    Raises:
        ModelCorrupt: A file is damaged or missing, or two files have the same tensor.
        ModelUnsupported: A tensor is of a type, or has a number of dimensions, that cannot be converted.
    """
    single = folder / WEIGHTS_NAME
    if single.is_file():
        return _read_header(single)
    index = _index(folder)
    tensors: dict[str, ShardTensor] = {}
    for path in sorted(set(index.values())):
        for name, tensor in _read_header(path).items():
            if name in tensors:
                both = f"in `{tensors[name].path.name}` and in `{path.name}`"
                raise ModelCorrupt(f"`{folder}` has the tensor `{shown(name)}` twice: {both}")
            tensors[name] = tensor
    for name, path in index.items():
        if name not in tensors or tensors[name].path != path:
            said = f"`{folder / WEIGHTS_INDEX_NAME}` says that `{shown(name)}` is in `{path.name}`"
            raise ModelCorrupt(f"{said}, and it is not there", hint="fetch all files of the model again")
    return tensors


def _index(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor that the index names."""
    path = folder / WEIGHTS_INDEX_NAME
    content = read_json(path, unique=True)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise ModelCorrupt(f"`{path}` has no `weight_map` that names a file for each tensor")
    names = sorted(set(named.values()))
    if len(names) > MAX_SHARDS:
        raise ModelCorrupt(f"`{path}` names {len(names)} files, more than {MAX_SHARDS}")
    for name in names:
        if not _is_plain(name):
            expected = "not a file like `model-00001-of-00002.safetensors` beside it"
            raise ModelCorrupt(f"`{path}` names the file `{shown(name)}`, {expected}")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        listed = ", ".join(f"`{shown(name)}`" for name in missing[:_MOST_NAMED])
        more = " …" if len(missing) > _MOST_NAMED else ""
        message = f"`{folder}` lacks {len(missing)} of {len(names)} files with weights: {listed}{more}"
        raise ModelCorrupt(message, hint="fetch all files of the model")
    return {tensor: folder / name for tensor, name in named.items()}


def _is_plain(name: str) -> bool:
    """Say whether a name is that of a safetensors file right in the folder."""
    plain = PurePosixPath(name).name == name and PureWindowsPath(name).name == name and name.isprintable()
    return plain and name.endswith(".safetensors") and not name.startswith(".")


def _read_header(path: Path) -> dict[str, ShardTensor]:
    """Read where the tensors of one file are."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size < _LENGTH.size:
                raise Malformed("it is too short")
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - _LENGTH.size):
                raise Malformed(f"it claims a header of {length} bytes in {size}")
            header = _object(file.read(length))
        return _placed(path, header, _LENGTH.size + length, size)
    except OSError as error:
        raise ModelCorrupt(f"`{path}` cannot be read: {error.strerror}") from error
    except Malformed as error:
        what, hint = mistaken(path, but="safetensors")
        said = f"{what}, and not a safetensors file" if what else f"is not a sound safetensors file: {error}"
        raise ModelCorrupt(f"`{path}` {said}", hint=hint) from None


def _object(data: bytes) -> dict[str, Any]:
    """Return the header's JSON object."""
    try:
        header = json.loads(data, object_pairs_hook=named_once)
    except NamedTwice as error:
        raise Malformed(f"`{shown(error.args[0])}` is there twice") from None
    except (ValueError, RecursionError):
        raise Malformed("its header is not JSON") from None
    if not isinstance(header, dict):
        raise Malformed("its header is not a JSON object")
    if len(header) > MAX_TENSORS:
        raise Malformed(f"it claims {len(header)} tensors")
    return header


def _placed(path: Path, header: Mapping[str, Any], start: int, size: int) -> dict[str, ShardTensor]:
    """Return where all tensors are. They must fill the file without a gap or an overlap.

    Args:
        path: The file.
        header: What its header says.
        start: Where the weights begin.
        size: How many bytes the file has.
    """
    tensors = {name: _tensor(path, name, said, start) for name, said in header.items() if name != _TEXTS}
    at = start
    for name, tensor in sorted(tensors.items(), key=lambda one: one[1].offset):
        if tensor.offset != at:
            what = "overlaps another one" if tensor.offset < at else "does not begin where the one before it ends"
            raise Malformed(f"tensor `{shown(name)}` {what}")
        at += tensor.size_bytes
        if at > size:
            raise Malformed(f"tensor `{shown(name)}` reaches past the end of the file, byte {size}")
    if at != size:
        raise Malformed(f"its tensors end at byte {at}, and the file at byte {size}")
    return tensors


def _tensor(path: Path, name: str, said: Any, start: int) -> ShardTensor:
    """Return what the header says about one tensor, checked."""
    if not isinstance(said, dict):
        raise Malformed(f"tensor `{shown(name)}` is not described")
    dtype, shape, offsets = (said.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise Malformed(f"tensor `{shown(name)}` has no type, shape and place that make sense")
    if dtype not in VALUE_BYTES:
        message = f"`{path}` stores `{shown(name)}` as `{shown(dtype)}`, which cannot be converted"
        hint = f"use the model's own weights, not quantised ones: {', '.join(VALUE_BYTES)} are converted"
        raise ModelUnsupported(message, hint=hint)
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise ModelUnsupported(f"`{path}`: tensor `{shown(name)}` has {len(shape)} dimensions; decoders have 1 or 2")
    size_bytes = math.prod(shape) * VALUE_BYTES[dtype]
    if not size_bytes or offsets[1] - offsets[0] != size_bytes:
        raise Malformed(f"tensor `{shown(name)}` of shape {shape} has {offsets[1] - offsets[0]} bytes")
    return ShardTensor(dtype, tuple(shape), path, start + offsets[0], size_bytes)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and 0 <= one <= _MAX_SIZE for one in value)
