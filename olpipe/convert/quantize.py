"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

Blocks are 32 values of one row, symmetric around the middle code: value = (code - 2^(bits-1)) * scale.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

BLOCK_SIZE = 32


def quantize(values: Floats, bits: int) -> tuple[Codes, Floats]:
    """Quantise rows block by block.

    Args:
        values: (rows, columns), columns a multiple of `BLOCK_SIZE`.
        bits: 4 or 8.

    Returns:
        Codes, (rows, columns * bits / 8), two to a byte and the first in the low half when there are four bits;
        scales, (rows, columns / BLOCK_SIZE).
    """
    blocks = values.reshape(len(values), -1, BLOCK_SIZE)
    extremes = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)
    # Q4_0's and Q8_0's own choices of scale, so that tensors stored as these come through unchanged.
    scales = extremes / np.float32(-8 if bits == 4 else 127)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    middle = 1 << bits - 1
    codes = np.clip(np.rint(blocks * inverse) + middle, 0, 2 * middle - 1).astype(np.uint8).reshape(len(values), -1)
    if bits == 4:
        codes = codes[:, 0::2] | codes[:, 1::2] << 4
    return codes, scales[..., 0]
