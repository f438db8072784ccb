"""Quantised blocks are judged by a naive decoder of their layout."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from olpipe.convert.quantize import BLOCK_SIZE, quantize


def naive_decode(codes, scales, bits):
    rows = []
    for row_codes, row_scales in zip(codes, scales, strict=True):
        values = []
        for byte in row_codes:
            values.extend([byte & 15, byte >> 4] if bits == 4 else [byte])
        middle = 2 ** (bits - 1)
        rows.append([(int(code) - middle) * row_scales[at // BLOCK_SIZE] for at, code in enumerate(values)])
    return np.array(rows, np.float32)


@pytest.mark.parametrize(("stored", "bits"), [("Q4_0", 4), ("Q8_0", 8)])
def test_what_was_stored_in_such_blocks_comes_through_unchanged(stored, bits):
    kind = gguf.GGMLQuantizationType[stored]
    values = np.random.default_rng(1).normal(size=(6, 96)).astype(np.float32)
    values = gguf.dequantize(gguf.quantize(values, kind), kind)
    np.testing.assert_allclose(naive_decode(*quantize(values, bits), bits), values, rtol=1e-6)


@pytest.mark.parametrize(("bits", "least_steps"), [(4, 6.5), (8, 127)])
def test_eight_bits_are_off_by_half_a_step_and_four_bits_beat_the_plain_rule(bits, least_steps):
    values = np.random.default_rng(2).normal(size=(50, 64)).astype(np.float32)
    decoded = naive_decode(*quantize(values, bits), bits)
    blocks, off = values.reshape(-1, BLOCK_SIZE), (decoded - values).reshape(-1, BLOCK_SIZE)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    if bits == 8:
        assert (np.abs(off) <= largest / least_steps / 2 * 1.001).all()
    else:
        plain = gguf.dequantize(gguf.quantize(values, gguf.GGMLQuantizationType.Q4_0), gguf.GGMLQuantizationType.Q4_0)
        assert (off**2).sum() < 0.95 * ((plain - values) ** 2).sum()


def test_the_first_value_of_a_pair_is_in_the_low_half():
    values = np.zeros((1, BLOCK_SIZE), np.float32)
    values[0, 0] = -8
    codes, scales = quantize(values, 4)
    assert codes[0, 0] == 0x80  # the first code is 0, the second the middle
    assert scales.tolist() == [[1.0]]


def test_a_block_of_zeros_stays_zero():
    codes, scales = quantize(np.zeros((2, BLOCK_SIZE), np.float32), 4)
    assert not naive_decode(codes, scales, 4).any()


@given(
    arrays.arrays(np.float32, (2, 64), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.sampled_from([4, 8]),
)
def test_any_finite_matrix_can_be_quantised(values, bits):
    codes, scales = quantize(values, bits)
    assert codes.shape == (2, 64 * bits // 8)
    assert scales.shape == (2, 2)
    assert np.isfinite(scales).all()
