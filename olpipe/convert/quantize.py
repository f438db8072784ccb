"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

Blocks are 32 values of one row, symmetric around the middle code: value = (code - 2^(bits-1)) * scale.
Zero points of their own were tried for four bits: without a search they lose to this, with one they gain 0.02 of
the 0.15 nats that four bits cost SmolLM2-135M.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

BLOCK_SIZE = 32

# The code that a block's largest value is given, before rounding. Q8_0's own choice for eight bits, and Q4_0's
# the first tried for four, so that tensors stored as these come through unchanged. The others clip the largest
# value or leave codes unused where that brings the rest of the block closer.
_LARGEST_CODES: dict[int, tuple[float, ...]] = {4: (-8, -9, -8.5, -7.5, -7, -6.5), 8: (127,)}


def quantize(values: Floats, bits: int) -> tuple[Codes, Floats]:
    """Quantise rows block by block, each with the scale that gives the least squared error of a few tried.

    Args:
        values: (rows, columns), columns a multiple of `BLOCK_SIZE`.
        bits: 4 or 8.

    Returns:
        Codes, (rows, columns * bits / 8), two to a byte and the first in the low half when there are four bits;
        scales, (rows, columns / BLOCK_SIZE).
    """
    blocks = values.reshape(-1, BLOCK_SIZE)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    first, *others = _LARGEST_CODES[bits]
    codes, scales = _encode(blocks, largest, first, bits)
    if others:
        errors = _squared_errors(blocks, codes, scales)
        for code in others:
            new_codes, new_scales = _encode(blocks, largest, code, bits)
            new_errors = _squared_errors(blocks, new_codes, new_scales)
            better = new_errors < errors
            codes[better], scales[better], errors[better] = new_codes[better], new_scales[better], new_errors[better]
    stored: Codes = (codes + np.float32(1 << bits - 1)).astype(np.uint8)
    if bits == 4:
        stored = stored[:, 0::2] | np.left_shift(stored[:, 1::2], 4)
    return stored.reshape(len(values), -1), scales.reshape(len(values), -1)


def _encode(blocks: Floats, largest: Floats, largest_code: float, bits: int) -> tuple[Floats, Floats]:
    """Return the codes around zero, (blocks, BLOCK_SIZE), and the scales, (blocks, 1)."""
    scales = largest / np.float32(largest_code)
    # A scale too small to divide by belongs to a block of zeros, or nearly.
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    codes = blocks * np.divide(1, scales, out=np.zeros_like(scales), where=usable)
    np.rint(codes, out=codes)
    middle = 1 << bits - 1
    return np.clip(codes, -middle, middle - 1, out=codes), scales


def _squared_errors(blocks: Floats, codes: Floats, scales: Floats) -> Floats:
    with np.errstate(over="ignore"):  # values near the end of float32 have infinite errors: no choice is better
        off = codes * scales
        off -= blocks
        errors: Floats = np.einsum("ij,ij->i", off, off)
    return errors
