"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

Blocks are 32 values of one row. Eight bits are symmetric around the middle code, value = (code - 128) * scale, as
Q8_0 is. Four bits have an offset too, value = (code - 8) * scale + offset: matrices stored with sixteen evenly
spaced values a block (Q4_0, Q4_1, Q4_K) come through unchanged, and others lose a fifth less than without.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

BLOCK_SIZE = 32

_LARGEST_CODE, _MIDDLE_CODE = np.float32(15), np.float32(8)

# Steps between a block's smallest and largest value. Fewer than fifteen find the spacing of blocks that
# were stored without their first or last code; more clip both ends, which brings the rest closer.
_STEPS = (15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 15.5, 16.0, 17.0, 18.0)

# A block off by this share of its values' squared span was stored with such steps, but for rounding.
_EXACT = np.float32(1e-10)


class Quantised(NamedTuple):
    """Rows of quantised blocks.

    Attributes:
        codes: (rows, columns * bits / 8), two to a byte and the first in the low half when there are four bits.
        scales: (rows, columns / BLOCK_SIZE).
        offsets: (rows, columns / BLOCK_SIZE), zeros for eight bits.
    """

    codes: Codes
    scales: Floats
    offsets: Floats


def quantize(values: Floats, bits: int) -> Quantised:
    """Quantise rows block by block.

    Args:
        values: (rows, columns), columns a multiple of `BLOCK_SIZE`.
        bits: 4 or 8.
    """
    blocks = values.reshape(-1, BLOCK_SIZE)
    codes, scales, offsets = _four_bits(blocks) if bits == 4 else _eight_bits(blocks)
    rows = len(values)
    return Quantised(codes.reshape(rows, -1), scales.reshape(rows, -1), offsets.reshape(rows, -1))


def _eight_bits(blocks: Floats) -> tuple[Codes, Floats, Floats]:
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.rint(blocks * _inverse(scales))
    return (codes + np.float32(128)).astype(np.uint8), scales, np.zeros_like(scales)


def _four_bits(blocks: Floats) -> tuple[Codes, Floats, Floats]:
    """Try several spacings until one is exact, and keep the one with the least squared error."""
    # Halves, so that no difference of finite numbers is infinite.
    least, largest = blocks.min(axis=1, keepdims=True) / 2, blocks.max(axis=1, keepdims=True) / 2
    middles, halves = least + largest, largest - least
    codes, scales, offsets = np.zeros_like(blocks), np.zeros_like(middles), middles.copy()
    errors = np.full(len(blocks), np.inf, np.float32)
    with np.errstate(all="ignore"):  # values near the end of float32 have infinite errors: no choice is better
        exact = _EXACT * np.square(halves[:, 0])
        for steps in _STEPS:
            (rest,) = np.nonzero(errors > exact)
            values = blocks[rest]
            found = _spaced(values, middles[rest], halves[rest] * np.float32(2), steps)
            off = found[0] * found[1] + found[2] - values
            found_errors: Floats = np.einsum("ij,ij->i", off, off)
            better = found_errors < errors[rest]
            chosen = rest[better]
            errors[chosen] = found_errors[better]
            codes[chosen], scales[chosen], offsets[chosen] = (part[better] for part in found)
    stored = (codes + _MIDDLE_CODE).astype(np.uint8)
    return stored[:, 0::2] | np.left_shift(stored[:, 1::2], 4), scales, offsets


def _spaced(blocks: Floats, middles: Floats, spans: Floats, steps: float) -> tuple[Floats, Floats, Floats]:
    """Return codes around zero for one spacing, and the scales and offsets that fit them best."""
    # Clipping takes from both ends; fewer steps have to begin on a code.
    middle = _LARGEST_CODE / 2 if steps > _LARGEST_CODE else (_LARGEST_CODE - steps) // 2 + steps / 2
    codes = (blocks - middles) * _inverse(spans / np.float32(steps)) + np.float32(middle)
    codes = np.clip(np.rint(codes), 0, _LARGEST_CODE) - _MIDDLE_CODE
    return codes, *_fit(blocks, codes)


def _fit(blocks: Floats, codes: Floats) -> tuple[Floats, Floats]:
    """Return the scales and offsets with the least squared error for given codes."""
    code_means, means = codes.mean(axis=1, keepdims=True), blocks.mean(axis=1, keepdims=True)
    centred = codes - code_means
    spread = np.einsum("ij,ij->i", centred, centred)[:, None]
    shared = np.einsum("ij,ij->i", centred, blocks - means)[:, None]
    scales = np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 0)
    return scales, means - scales * code_means


def _inverse(scales: Floats) -> Floats:
    """Return one over each scale; a scale too small to divide by belongs to a block of equal values, or nearly."""
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    return np.divide(1, scales, out=np.zeros_like(scales), where=usable)
