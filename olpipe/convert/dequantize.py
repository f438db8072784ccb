"""Turn the tensor formats of GGUF files into float32.

The function of each format takes the raw blocks, (blocks, bytes of a block) uint8, and returns their values, (blocks,
values of a block) float32.
Source of the layouts: `block_*` in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.tensor_types import TensorType
from olpipe.errors import ModelUnsupported

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]


def dequantize(raw: Bytes, kind: TensorType) -> Floats:
    """Return the values of a tensor's rows.

    Args:
        raw: The stored rows, (rows, bytes of a row).
        kind: The format that they are stored in.

    Returns:
        The values, (rows, values of a row).

    Raises:
        ModelUnsupported: The format cannot be read.
    """
    decode = _FORMATS.get(kind.name)
    if decode is None:
        raise ModelUnsupported(
            f"tensors of type `{kind.name}` cannot be converted", hint=f"use a file of {', '.join(_FORMATS)} tensors"
        )
    rows = len(raw)
    with np.errstate(all="ignore"):  # damaged scales give infinite values, which the caller finds
        return decode(np.ascontiguousarray(raw).reshape(-1, kind.block_bytes)).reshape(rows, -1)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view("<f4").astype(np.float32)


def _f16(blocks: Bytes) -> Floats:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    # A bfloat16 is the upper half of a float32.
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q4_0(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * (_nibbles(blocks[:, 2:]) - np.float32(8))


def _q4_1(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * _nibbles(blocks[:, 4:]) + _scale(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * (_nibbles(blocks[:, 6:]) + _fifth_bits(blocks[:, 2:6]) - np.float32(16))


def _q5_1(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * (_nibbles(blocks[:, 8:]) + _fifth_bits(blocks[:, 4:8])) + _scale(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _q4_k(blocks: Bytes) -> Floats:
    scales, minimums = _k_scales(blocks)  # (blocks, 8, 1) each
    return (scales * _k_nibbles(blocks[:, 16:144]) - minimums).reshape(-1, 256)


def _q5_k(blocks: Bytes) -> Floats:
    scales, minimums = _k_scales(blocks)  # (blocks, 8, 1) each
    # Each of the 32 high bytes has the fifth bit of one value of every sub-block: bit i is that of sub-block i.
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    high = (blocks[:, None, 16:48] >> shifts & 1) << 4  # (blocks, 8, 32)
    return (scales * (_k_nibbles(blocks[:, 48:176]) + high) - minimums).reshape(-1, 256)


def _q6_k(blocks: Bytes) -> Floats:
    # A block has two halves of 128 values. A half has 64 bytes of low bits, four rows of 32 values with 4 bits each,
    # and 32 bytes of high bits, four rows of 32 values with 2 bits each.
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 2, 4, 32)  # (blocks, halves, rows, values)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    values = (low | high << 4).astype(np.float32) - np.float32(32)  # (blocks, 2, 4, 32)
    scales = _scale(blocks, 208) * blocks[:, 192:208].view(np.int8).astype(np.float32)  # (blocks, 16)
    return (scales[:, :, None] * values.reshape(-1, 16, 16)).reshape(-1, 256)


def _scale(blocks: Bytes, at: int) -> Floats:
    """Return the float16 that begins at a byte of every block, (blocks, 1)."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> Floats:
    """Return the 4-bit values of bytes, (blocks, 2 * bytes): the low halves of all bytes, then the high halves."""
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)


def _fifth_bits(packed: Bytes) -> Floats:
    """Return the fifth bits of values, (blocks, 32), the lowest bit of a byte first. A set bit counts 16."""
    return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32) * np.float32(16)


def _k_nibbles(packed: Bytes) -> Bytes:
    """Return the 4-bit values of a K-quant's sub-blocks, (blocks, 8, 32).

    Each 32 bytes hold two sub-blocks: one in their low halves, the next one in their high halves.
    """
    runs = packed.reshape(-1, 4, 1, 32)
    return np.concatenate([runs & 15, runs >> 4], axis=2).reshape(-1, 8, 32)


def _k_scales(blocks: Bytes) -> tuple[Floats, Floats]:
    """Return the scales and minimums of a K-quant's sub-blocks, (blocks, 8, 1) each.

    They have six bits each, in twelve bytes. Those of the first four sub-blocks are in the low bits of the first eight
    bytes. Those of the last four have their four low bits in the last four bytes, and their two high bits in what is
    left of the first eight. The block's own two scales multiply them.
    """
    first, second, third = (blocks[:, at : at + 4] for at in (4, 8, 12))
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1).astype(np.float32)
    minimums = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1).astype(np.float32)
    return (_scale(blocks, 0) * scales)[:, :, None], (_scale(blocks, 2) * minimums)[:, :, None]


_FORMATS: dict[str, Callable[[Bytes], Floats]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
