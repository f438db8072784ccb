"""Read and write low-rank adapters. Nothing that is read is trusted.

An adapter changes some matrices of a model. It is a safetensors file. For a matrix W, such as `blk.0.attn_q.weight`, it
has two factors: A, (rank, columns), as `blk.0.attn_q.weight.a`, and B, (rows, rank), as `blk.0.attn_q.weight.b`. Its
metadata has a `scale`. The matrix becomes W + scale * B @ A.
Source of the layout: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.convert.mistaken import mistaken
from olpipe.convert.tensor_file import FLOAT_TYPES, Floats, Malformed, TensorFile, open_tensors
from olpipe.errors import ModelCorrupt, ModelNotFound

# These limits are far above what adapters have.
MAX_HEADER_BYTES = 1 << 22
MAX_RANK = 512
MAX_SCALE = 1000


@dataclass(frozen=True, slots=True)
class Adapter:
    """What to add to some matrices of a model.

    Attributes:
        path: The file.
        pairs: The factors A, (rank, columns), and B, (rows, rank), by the name of the model's tensor. B is already
            multiplied by the scale.
    """

    path: Path
    pairs: Mapping[str, tuple[Floats, Floats]]

    def check(self, header: GGUFHeader) -> None:
        """Check that the adapter fits a model.

        Raises:
            ModelCorrupt: The adapter was made for another model.
        """
        for name, (a, b) in self.pairs.items():
            tensor = header.tensors.get(name)
            if tensor is None or not name.startswith("blk."):
                raise ModelCorrupt(f"`{self.path}` adapts `{name}`, which is not a layer's matrix of `{header.path}`")
            shape = (b.shape[0], a.shape[1])
            if tensor.shape != shape:
                raise ModelCorrupt(f"`{self.path}` adapts `{name}` as {shape}, but it is {tensor.shape}")

    def delta(self, name: str, rows: slice | npt.NDArray[np.intp]) -> Floats | None:
        """Return what to add to some rows of a tensor, (rows, columns), or None where that is nothing."""
        pair = self.pairs.get(name)
        if pair is None:
            return None
        a, b = pair
        return b[rows] @ a


def read_adapter(path: Path) -> Adapter:
    """Read an adapter.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The file is damaged, or it is not an adapter.
    """
    if not path.is_file():
        raise ModelNotFound(f"`{path}` is not a file", hint="name an adapter's file")
    try:
        return Adapter(path, _pairs(path))
    except Malformed as error:
        what, hint = mistaken(path, but="safetensors")
        said = f"{what}, and not an adapter" if what else f"is not a sound adapter: {error}"
        raise ModelCorrupt(f"`{path}` {said}", hint=hint) from None


def write_adapter(path: Path, pairs: Mapping[str, tuple[Floats, Floats]], *, scale: float) -> None:
    """Write an adapter, in float16.

    Args:
        path: The file. It is replaced if it exists.
        pairs: The factors A, (rank, columns), and B, (rows, rank), by the name of the model's tensor.
        scale: What their product is multiplied by.
    """
    from safetensors.numpy import save

    tensors = {
        f"{name}.{part}": values.astype(np.float16)
        for name, pair in pairs.items()
        for part, values in zip("ab", pair, strict=True)
    }
    path.write_bytes(save(tensors, metadata={"scale": str(scale)}))


def _pairs(path: Path) -> dict[str, tuple[Floats, Floats]]:
    """Read the factors of an adapter, and multiply B by the scale."""
    with open_tensors(path, max_header_bytes=MAX_HEADER_BYTES) as file:
        scale = _scale(file.metadata.get("scale", ""))
        _check_factors(file)
        pairs: dict[str, tuple[Floats, Floats]] = {}
        for name in sorted({key[:-2] for key in file.tensors}):
            if not {f"{name}.a", f"{name}.b"} <= file.tensors.keys():
                raise Malformed(f"`{shown(name)}` does not have both of its factors, `.a` and `.b`")
            a, b = (file.read(f"{name}.{part}") for part in "ab")
            if a.shape[0] != b.shape[1]:
                raise Malformed(f"the factors of `{shown(name)}`, {a.shape} and {b.shape}, have different ranks")
            pairs[name] = (a, b * scale)
    return pairs


def _scale(text: str) -> np.float32:
    """Return the scale that the metadata gives."""
    try:
        scale = float(text)
    except ValueError:
        raise Malformed("its metadata has no number `scale`") from None
    if not abs(scale) <= MAX_SCALE:
        raise Malformed(f"its scale is {scale}")
    return np.float32(scale)


def _check_factors(file: TensorFile) -> None:
    """Check what the header says about the tensors, before any of them is read."""
    if not file.tensors:
        raise Malformed("it has no tensors")
    for key, stored in file.tensors.items():
        name, shape = shown(key), stored.shape
        if not key.endswith((".a", ".b")):
            raise Malformed(f"`{name}` ends neither in `.a` nor in `.b`")
        if stored.dtype not in FLOAT_TYPES:
            raise Malformed(f"`{name}` is of type `{stored.dtype}`, not one of {', '.join(FLOAT_TYPES)}")
        if len(shape) != 2:
            raise Malformed(f"`{name}` does not have two dimensions")
        if 0 in shape or shape[0 if key.endswith(".a") else 1] > MAX_RANK:
            raise Malformed(f"`{name}` has the shape {shape}, which is empty or of a rank above {MAX_RANK}")
