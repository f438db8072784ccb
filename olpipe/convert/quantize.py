"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

Blocks are some values of one row. Eight bits are symmetric around the middle code, value = (code - 128) * scale, as
Q8_0 is. Four bits have an offset too, value = (code - 8) * scale + offset: matrices stored with sixteen evenly
spaced values a block (Q4_0, Q4_1, Q4_K) come through unchanged, and others lose a fifth less than without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

# The codes that a block's largest value is given: one of them may fit what the file had rounded already.
_LARGEST_CODES = tuple(range(127, 111, -1))

_LARGEST_CODE, _MIDDLE_CODE = np.float32(15), np.float32(8)

# Steps between a block's smallest and largest value. Fewer than fifteen find the spacing of blocks that
# were stored without their first or last code; more clip both ends, which brings the rest closer.
_STEPS = (15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 15.5, 16.0, 17.0, 18.0)

# A block of ones off by no more was stored with such steps: this is what rounding leaves.
_EXACT = np.float32(1e-11)

_Coded: TypeAlias = tuple[npt.NDArray[Any], Floats, Floats]  # codes, scales, offsets


class Quantised(NamedTuple):
    """Rows of quantised blocks.

    Attributes:
        codes: (rows, columns * bits / 8), two to a byte and the first in the low half when there are four bits.
        scales: (rows, blocks of a row).
        offsets: (rows, blocks of a row), zeros for eight bits.
    """

    codes: Codes
    scales: Floats
    offsets: Floats


def quantize(values: Floats, bits: int, block_size: int) -> Quantised:
    """Quantise rows block by block.

    Args:
        values: (rows, columns).
        bits: 4 or 8.
        block_size: Values of a block; columns are a multiple of it.
    """
    blocks = values.reshape(-1, block_size)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    coded = (_four_bits if bits == 4 else _eight_bits)(blocks * _inverse(largest))
    codes, scales, offsets = coded[0], coded[1] * largest, coded[2] * largest
    rows = len(values)
    return Quantised(codes.reshape(rows, -1), scales.reshape(rows, -1), offsets.reshape(rows, -1))


def _eight_bits(blocks: Floats) -> _Coded:
    """Return codes, scales and offsets of blocks whose largest values are ones."""

    def symmetric(chosen: Floats, code: float) -> _Coded:
        scales = np.full((len(chosen), 1), 1 / code, np.float32)
        return np.rint(chosen * np.float32(code)), scales, np.zeros_like(scales)

    codes, scales, offsets = _best(blocks, symmetric, _LARGEST_CODES)
    return (codes + np.float32(128)).astype(np.uint8), scales, offsets


def _four_bits(blocks: Floats) -> _Coded:
    """Return codes, scales and offsets of blocks whose largest values are ones."""

    def spaced(chosen: Floats, steps: float) -> _Coded:
        least, largest = chosen.min(axis=1, keepdims=True), chosen.max(axis=1, keepdims=True)
        # Clipping takes from both ends; fewer steps have to begin on a code.
        middle = _LARGEST_CODE / 2 if steps > _LARGEST_CODE else (_LARGEST_CODE - steps) // 2 + steps / 2
        codes = (chosen - (least + largest) / 2) * _inverse((largest - least) / np.float32(steps)) + np.float32(middle)
        codes = np.clip(np.rint(codes), 0, _LARGEST_CODE) - _MIDDLE_CODE
        return codes, *_fit(chosen, codes)

    codes, scales, offsets = _best(blocks, spaced, _STEPS)
    stored = (codes + _MIDDLE_CODE).astype(np.uint8)
    return stored[:, 0::2] | np.left_shift(stored[:, 1::2], 4), scales, offsets


def _best(blocks: Floats, encode: Callable[[Floats, float], _Coded], choices: Sequence[float]) -> _Coded:
    """Encode blocks by every choice, until one is exact, and keep what has the least squared error.

    Args:
        blocks: (blocks, values).
        encode: Returns codes around zero, scales and offsets of some blocks for one choice.
        choices: In the order they are tried.
    """
    best = encode(blocks, choices[0])
    errors = _squared_errors(blocks, best)
    for choice in choices[1:]:
        (rest,) = np.nonzero(errors > _EXACT)
        values = blocks[rest]
        found = encode(values, choice)
        found_errors = _squared_errors(values, found)
        better = found_errors < errors[rest]
        chosen = rest[better]
        errors[chosen] = found_errors[better]
        for kept, part in zip(best, found, strict=True):
            kept[chosen] = part[better]
    return best


def _squared_errors(blocks: Floats, coded: _Coded) -> Floats:
    codes, scales, offsets = coded
    off = codes * scales
    off += offsets
    off -= blocks
    errors: Floats = np.einsum("ij,ij->i", off, off)
    return errors


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
