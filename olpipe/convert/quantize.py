"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

A block is a number of neighbouring values of one row. Each value is stored as a code, and it is
(code - zero point) * scale + offset. There are three codings:

- Eight bits around the middle code, as in Q8_0.
- Four bits around the middle code, with an offset. Formats with sixteen evenly spaced values a block (Q4_0, Q4_1, Q4_K)
  come through unchanged.
- Four bits with a whole zero point and no offset. It differs more from the file, but its products are a quarter faster.

Inside this module, blocks are (blocks, values of a block), and what belongs to a block is (blocks, 1).
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

# The codes to try for the largest value of a block of eight bits. If the file was quantised, one of them gives the
# spacing that the file has.
_LARGEST_CODES = tuple(range(127, 63, -1))

_LARGEST_CODE, _MIDDLE_CODE = np.float32(15), np.float32(8)

# How many steps to try between the smallest and the largest value of a block of four bits. Sixteen codes make fifteen
# steps. A block of the file need not use all its codes, and then fewer steps find its spacing. With more steps the
# values at both ends are clipped, and all others come closer.
_STEPS = (15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 15.5, 16.0, 17.0, 18.0)

# A block counts as exact up to this sum of squared errors, where its largest value is 1. Rounding alone leaves that
# much.
_EXACT = np.float32(1e-11)

# The same as `_STEPS` where the zero point is a whole number.
_WHOLE_STEPS = (15.0, 14.0, 13.0, 16.0)

# How many values are worked on at once. Every attempt reads them again, so they should fit into the processor's cache.
_CACHED_VALUES = 1 << 15


class Coding(Enum):
    """How the values of a block are stored."""

    EIGHT_BITS = "eight bits around the middle code"
    FOUR_BITS = "four bits around the middle code, and an offset"
    FOUR_BITS_WHOLE = "four bits around a whole zero point"

    @property
    def bits(self) -> int:
        """How many bits a code has."""
        return 8 if self is Coding.EIGHT_BITS else 4


class Quantised(NamedTuple):
    """Rows of quantised blocks.

    Attributes:
        codes: (rows, columns * bits / 8) uint8. Codes of four bits are two to a byte, the first one in the low half.
        scales: (rows, blocks of a row) float32.
        offsets: (rows, blocks of a row) float32. They are zeros except with `FOUR_BITS`.
        zero_points: (rows, blocks of a row) uint8. They are the middle code except with `FOUR_BITS_WHOLE`.
    """

    codes: Codes
    scales: Floats
    offsets: Floats
    zero_points: Codes


def quantize(values: Floats, coding: Coding, block_size: int) -> Quantised:
    """Quantise rows block by block.

    Args:
        values: The values, (rows, columns).
        coding: How to store them.
        block_size: How many values a block has. The number of columns must be a multiple of it.
    """
    blocks = values.reshape(-1, block_size)
    step = _CACHED_VALUES // block_size
    parts = [_quantize_blocks(blocks[at : at + step], coding) for at in range(0, len(blocks), step)]
    return Quantised(*(np.concatenate(part).reshape(len(values), -1) for part in zip(*parts, strict=True)))


def dequantize(quantised: Quantised, coding: Coding) -> Floats:
    """Return the values that codes stand for, (rows, columns)."""
    codes, scales, offsets, zero_points = quantised
    if coding.bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1)  # (rows, columns / 2, 2)
    # (rows, blocks of a row, values of a block)
    blocks = codes.reshape(*scales.shape, -1).astype(np.float32) - zero_points[..., None]
    blocks *= scales[..., None]
    blocks += offsets[..., None]
    return blocks.reshape(len(scales), -1)


def _quantize_blocks(blocks: Floats, coding: Coding) -> Quantised:
    """Quantise blocks. They are divided by their largest values first, so that errors compare with `_EXACT`."""
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    found = _CODERS[coding](blocks * _inverse(largest))
    return found._replace(scales=found.scales * largest, offsets=found.offsets * largest)


def _eight_bits(blocks: Floats) -> Quantised:
    """Quantise blocks whose largest value is 1 or -1."""
    # 1. Of all codes for the largest value, take the one with the least error; (blocks,) each.
    best, errors = np.full(len(blocks), _LARGEST_CODES[0], np.float32), np.full(len(blocks), np.inf, np.float32)
    for code in _LARGEST_CODES:
        off = np.rint(blocks * np.float32(code))
        off *= np.float32(1 / code)
        off -= blocks
        found = _squared_sums(off)
        best[found < errors] = code
        np.minimum(errors, found, out=errors)
        if (errors <= _EXACT).all():
            break
    # 2. The codes that it gives.
    inverse = best[:, None]
    codes = np.rint(blocks * inverse) + np.float32(128)
    return Quantised(
        codes.astype(np.uint8), _inverse(inverse), _column(blocks, 0, np.float32), _column(blocks, 128, np.uint8)
    )


def _four_bits(blocks: Floats) -> Quantised:
    """Quantise blocks whose largest value is 1 or -1. All numbers of steps are tried until a block is exact."""
    codes, scales, offsets, errors = _spaced(blocks, _STEPS[0])
    for steps in _STEPS[1:]:
        (rest,) = np.nonzero(errors > _EXACT)
        found = _spaced(blocks[rest], steps)
        better = found[-1] < errors[rest]
        for kept, part in zip((codes, scales, offsets, errors), found, strict=True):
            kept[rest[better]] = part[better]
    return Quantised(_pack(codes + _MIDDLE_CODE), scales, offsets, _column(blocks, 8, np.uint8))


def _four_bits_whole(blocks: Floats) -> Quantised:
    """Quantise blocks whose largest value is 1 or -1, with a whole number as the code of zero."""
    # 1. The range of a block. It includes zero, which always has a code.
    least, largest = blocks.min(axis=1, keepdims=True, initial=0), blocks.max(axis=1, keepdims=True, initial=0)
    spread = largest - least
    errors = np.full(len(blocks), np.inf, np.float32)
    codes, scales, zero_points = np.zeros_like(blocks), np.zeros_like(least), np.zeros_like(least)
    # 2. For each number of steps, the two whole numbers around the place of zero are tried as its code.
    for steps in _WHOLE_STEPS:
        inverse = _inverse(spread / np.float32(steps))
        rounded = np.rint(blocks * inverse)
        middle = -least * inverse + (_LARGEST_CODE - np.float32(steps)) / 2
        for whole in (np.floor(middle), np.ceil(middle)):
            zero_point = np.clip(whole, 0, _LARGEST_CODE)
            centred = np.clip(rounded, -zero_point, _LARGEST_CODE - zero_point)
            scale = _ratios(centred, blocks)
            found = _squared_sums(centred * scale - blocks)
            better = found < errors
            errors[better] = found[better]
            for kept, part in ((codes, centred + zero_point), (scales, scale), (zero_points, zero_point)):
                kept[better] = part[better]
    return Quantised(_pack(codes), scales, _column(blocks, 0, np.float32), zero_points.astype(np.uint8))


_CODERS = {
    Coding.EIGHT_BITS: _eight_bits,
    Coding.FOUR_BITS: _four_bits,
    Coding.FOUR_BITS_WHOLE: _four_bits_whole,
}


def _pack(codes: Floats) -> Codes:
    """Put two codes of four bits into each byte, the first in the low half."""
    stored = codes.astype(np.uint8)
    return stored[:, 0::2] | np.left_shift(stored[:, 1::2], 4)


def _column(blocks: Floats, value: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the same number for every block, (blocks, 1)."""
    return np.full((len(blocks), 1), value, dtype)


def _ratios(codes: Floats, blocks: Floats) -> Floats:
    """Return the scales with the least squared error for given codes, where there are no offsets; (blocks, 1)."""
    spread, shared = _squared_sums(codes)[:, None], np.einsum("ij,ij->i", codes, blocks)[:, None]
    scales: Floats = np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 0)
    return scales


def _spaced(blocks: Floats, steps: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Quantise blocks with one number of steps between the smallest and the largest value.

    Returns:
        The codes minus the middle code, (blocks, values of a block). The scales and the offsets that fit them best,
        (blocks, 1) each. The sums of squared errors, (blocks,).
    """
    least, largest = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
    # Where a range of values gets its middle. More than fifteen steps are clipped at both ends alike. Fewer steps must
    # begin at a whole code.
    middle = _LARGEST_CODE / 2 if steps > _LARGEST_CODE else (_LARGEST_CODE - steps) // 2 + steps / 2
    codes = (blocks - (least + largest) / 2) * _inverse((largest - least) / np.float32(steps)) + np.float32(middle)
    codes = np.clip(np.rint(codes), 0, _LARGEST_CODE) - _MIDDLE_CODE
    scales, offsets = _fit(blocks, codes)
    return codes, scales, offsets, _squared_sums(codes * scales + offsets - blocks)


def _squared_sums(values: Floats) -> Floats:
    """Return the sum of squares of each row, (rows,)."""
    sums: Floats = np.einsum("ij,ij->i", values, values)
    return sums


def _fit(blocks: Floats, codes: Floats) -> tuple[Floats, Floats]:
    """Return the scales and offsets with the least squared error for given codes, (blocks, 1) each.

    This is a linear regression of the values on the codes, for each block.
    """
    code_means, means = codes.mean(axis=1, keepdims=True), blocks.mean(axis=1, keepdims=True)
    centred = codes - code_means
    spread = np.einsum("ij,ij->i", centred, centred)[:, None]
    shared = np.einsum("ij,ij->i", centred, blocks - means)[:, None]
    scales = np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 0)
    return scales, means - scales * code_means


def _inverse(scales: Floats) -> Floats:
    """Return one over each scale, or 0 where the scale is too small. Such a block has values that are nearly equal."""
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    return np.divide(1, scales, out=np.zeros_like(scales), where=usable)
