"""Quantised blocks are judged by a naive decoder of their layout."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from olpipe.convert.quantize import quantize

BLOCK_SIZE = 32


def naive_decode(quantised, bits, block_size=BLOCK_SIZE):
    middle = 2 ** (bits - 1)
    rows = []
    for row_codes, row_scales, row_offsets in zip(*quantised, strict=True):
        codes = []
        for byte in row_codes:
            codes.extend([byte & 15, byte >> 4] if bits == 4 else [byte])
        blocks = [at // block_size for at in range(len(codes))]
        rows.append([(int(c) - middle) * row_scales[b] + row_offsets[b] for c, b in zip(codes, blocks, strict=True)])
    return np.array(rows, np.float32)


def roundtrip(values, stored):
    kind = gguf.GGMLQuantizationType[stored]
    return gguf.dequantize(gguf.quantize(values, kind), kind)


@pytest.mark.parametrize(("stored", "bits"), [("Q4_0", 4), ("Q4_1", 4), ("Q8_0", 8)])
def test_what_was_stored_in_such_blocks_comes_through_unchanged(stored, bits):
    values = roundtrip(np.random.default_rng(1).normal(size=(6, 96)).astype(np.float32), stored)
    np.testing.assert_allclose(naive_decode(quantize(values, bits, BLOCK_SIZE), bits), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("used", [range(16), range(1, 16), range(15), range(2, 15), range(3, 12), [4, 9, 12], [7]])
def test_evenly_spaced_values_are_found_whichever_of_the_sixteen_a_block_uses(used):
    random = np.random.default_rng(4)
    codes = random.choice(np.array(list(used)), (40, BLOCK_SIZE))
    codes[:, : len(used)] = list(used)
    values = (codes * random.uniform(0.1, 1, (40, 1)) + random.normal(size=(40, 1))).astype(np.float32)
    np.testing.assert_allclose(naive_decode(quantize(values, 4, BLOCK_SIZE), 4), values, atol=2e-5)


def test_eight_bits_are_off_by_half_a_step():
    values = np.random.default_rng(2).normal(size=(50, 64)).astype(np.float32)
    off = (naive_decode(quantize(values, 8, BLOCK_SIZE), 8) - values).reshape(-1, BLOCK_SIZE)
    largest = np.abs(values).reshape(-1, BLOCK_SIZE).max(axis=1, keepdims=True)
    assert (np.abs(off) <= largest / 112 / 2 * 1.001).all()


@pytest.mark.parametrize(("stored", "bits"), [("Q4_0", 4), ("Q4_1", 4), ("Q8_0", 8)])
def test_the_plain_rules_are_beaten(stored, bits):
    values = np.random.default_rng(2).normal(size=(50, 64)).astype(np.float32)
    ours = ((naive_decode(quantize(values, bits, BLOCK_SIZE), bits) - values) ** 2).sum()
    assert ours < 0.95 * ((roundtrip(values, stored) - values) ** 2).sum()


def test_smaller_blocks_are_closer():
    values = np.random.default_rng(2).normal(size=(50, 64)).astype(np.float32)
    errors = [((naive_decode(quantize(values, 8, size), 8, size) - values) ** 2).sum() for size in (16, 32)]
    assert errors[0] < 0.8 * errors[1]


def test_the_first_value_of_a_pair_is_in_the_low_half():
    values = np.zeros((1, BLOCK_SIZE), np.float32)
    values[0, :16] = range(16)
    assert [byte & 15 for byte in quantize(values, 4, BLOCK_SIZE).codes[0, :8]] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize("value", [0, -3.5])
def test_a_block_of_one_value_keeps_it(value):
    values = np.full((2, BLOCK_SIZE), value, np.float32)
    np.testing.assert_array_equal(naive_decode(quantize(values, 4, BLOCK_SIZE), 4), values)


@given(
    arrays.arrays(np.float32, (2, 64), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.sampled_from([4, 8]),
)
def test_any_finite_matrix_can_be_quantised(values, bits):
    codes, scales, offsets = quantize(values, bits, BLOCK_SIZE)
    assert codes.shape == (2, 64 * bits // 8)
    assert scales.shape == offsets.shape == (2, 2)
    assert np.isfinite(scales).all()
    assert np.isfinite(offsets).all()
