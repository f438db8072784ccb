"""Quantise float32 matrices to the blocks that ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` read.

Blocks are some values of one row, and a value is (code - zero point) * scale + offset. There are three ways to choose
those, `Coding`: eight bits around the middle code, as Q8_0 is; four bits around the middle code with an offset, so that
matrices stored with sixteen evenly spaced values a block (Q4_0, Q4_1, Q4_K) come through unchanged; and four bits
with a whole zero point and no offset, which is further from the file and a quarter faster to multiply by.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

# The codes that a block's largest value is given: one of them may fit what the file had rounded already.
_LARGEST_CODES = tuple(range(127, 63, -1))

_LARGEST_CODE, _MIDDLE_CODE = np.float32(15), np.float32(8)

# Steps between a block's smallest and largest value. Fewer than fifteen find the spacing of blocks that
# were stored without their first or last code; more clip both ends, which brings the rest closer.
_STEPS = (15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 15.5, 16.0, 17.0, 18.0)

# A block of ones off by no more was stored with such steps: this is what rounding leaves.
_EXACT = np.float32(1e-11)

# Steps between a block's smallest and largest value where the zero point is whole.
_WHOLE_STEPS = (15.0, 14.0, 13.0, 16.0)

# Blocks of so many values are worked on at once: every choice reads them again, from the processor's cache.
_CACHED_VALUES = 1 << 15


class Coding(Enum):
    """How the values of a block are stored."""

    EIGHT_BITS = "eight bits around the middle code"
    FOUR_BITS = "four bits around the middle code, and an offset"
    FOUR_BITS_WHOLE = "four bits around a whole zero point"

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return 8 if self is Coding.EIGHT_BITS else 4


class Quantised(NamedTuple):
    """Rows of quantised blocks.

    Attributes:
        codes: (rows, columns * bits / 8), two to a byte and the first in the low half when there are four bits.
        scales: (rows, blocks of a row).
        offsets: (rows, blocks of a row), zeros but for `FOUR_BITS`.
        zero_points: (rows, blocks of a row), one to a byte; the middle code but for `FOUR_BITS_WHOLE`.
    """

    codes: Codes
    scales: Floats
    offsets: Floats
    zero_points: Codes


def quantize(values: Floats, coding: Coding, block_size: int) -> Quantised:
    """Quantise rows block by block.

    Args:
        values: (rows, columns).
        coding: How.
        block_size: Values of a block; columns are a multiple of it.
    """
    blocks = values.reshape(-1, block_size)
    step = _CACHED_VALUES // block_size
    parts = [_quantize_blocks(blocks[at : at + step], coding) for at in range(0, len(blocks), step)]
    return Quantised(*(np.concatenate(part).reshape(len(values), -1) for part in zip(*parts, strict=True)))


def dequantize(quantised: Quantised, coding: Coding) -> Floats:
    """Return the values that codes stand for, (rows, columns)."""
    codes, scales, offsets, zero_points = quantised
    if coding.bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1)
    blocks = codes.reshape(*scales.shape, -1).astype(np.float32) - zero_points[..., None]
    blocks *= scales[..., None]
    blocks += offsets[..., None]
    return blocks.reshape(len(scales), -1)


def _quantize_blocks(blocks: Floats, coding: Coding) -> Quantised:
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    found = _CODERS[coding](blocks * _inverse(largest))
    return found._replace(scales=found.scales * largest, offsets=found.offsets * largest)


def _eight_bits(blocks: Floats) -> Quantised:
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
    inverse = best[:, None]
    codes = np.rint(blocks * inverse) + np.float32(128)
    return Quantised(
        codes.astype(np.uint8), _inverse(inverse), _column(blocks, 0, np.float32), _column(blocks, 128, np.uint8)
    )


def _four_bits(blocks: Floats) -> Quantised:
    codes, scales, offsets, errors = _spaced(blocks, _STEPS[0])
    for steps in _STEPS[1:]:
        (rest,) = np.nonzero(errors > _EXACT)
        found = _spaced(blocks[rest], steps)
        better = found[-1] < errors[rest]
        for kept, part in zip((codes, scales, offsets, errors), found, strict=True):
            kept[rest[better]] = part[better]
    return Quantised(_pack(codes + _MIDDLE_CODE), scales, offsets, _column(blocks, 8, np.uint8))


def _four_bits_whole(blocks: Floats) -> Quantised:
    # Zero is always a code: the range of a block of one sign begins or ends there.
    least, largest = blocks.min(axis=1, keepdims=True, initial=0), blocks.max(axis=1, keepdims=True, initial=0)
    spread = largest - least
    errors = np.full(len(blocks), np.inf, np.float32)
    codes, scales, zero_points = np.zeros_like(blocks), np.zeros_like(least), np.zeros_like(least)
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
    return np.full((len(blocks), 1), value, dtype)


def _ratios(codes: Floats, blocks: Floats) -> Floats:
    """Return the scale with the least squared error for given codes."""
    spread, shared = _squared_sums(codes)[:, None], np.einsum("ij,ij->i", codes, blocks)[:, None]
    scales: Floats = np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 0)
    return scales


def _spaced(blocks: Floats, steps: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return codes around zero for one spacing, the scales and offsets that fit them best, and the squared errors."""
    least, largest = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
    # Clipping takes from both ends; fewer steps have to begin on a code.
    middle = _LARGEST_CODE / 2 if steps > _LARGEST_CODE else (_LARGEST_CODE - steps) // 2 + steps / 2
    codes = (blocks - (least + largest) / 2) * _inverse((largest - least) / np.float32(steps)) + np.float32(middle)
    codes = np.clip(np.rint(codes), 0, _LARGEST_CODE) - _MIDDLE_CODE
    scales, offsets = _fit(blocks, codes)
    return codes, scales, offsets, _squared_sums(codes * scales + offsets - blocks)


def _squared_sums(values: Floats) -> Floats:
    sums: Floats = np.einsum("ij,ij->i", values, values)
    return sums


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
