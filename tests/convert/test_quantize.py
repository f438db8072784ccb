"""Quantised blocks are judged by a naive decoder of their layout."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from olpipe.convert.quantize import Coding, dequantize, quantize

BLOCK_SIZE = 32


CODINGS = list(Coding)
EIGHT, FOUR, WHOLE = Coding.EIGHT_BITS, Coding.FOUR_BITS, Coding.FOUR_BITS_WHOLE


def naive_decode(quantised, coding, block_size=BLOCK_SIZE):
    rows = []
    for row_codes, scales, offsets, zero_points in zip(*quantised, strict=True):
        codes = []
        for byte in row_codes:
            codes.extend([byte & 15, byte >> 4] if coding.bits == 4 else [byte])
        blocks = [at // block_size for at in range(len(codes))]
        pairs = zip(codes, blocks, strict=True)
        rows.append([(int(code) - int(zero_points[b])) * scales[b] + offsets[b] for code, b in pairs])
    return np.array(rows, np.float32)


def decoded(values, coding, block_size=BLOCK_SIZE):
    return naive_decode(quantize(values, coding, block_size), coding, block_size)


def normal(rows, columns):
    return np.random.default_rng(2).normal(size=(rows, columns)).astype(np.float32)


def squared_error(measured, expected):
    return ((measured - expected) ** 2).sum()


def roundtrip(values, stored):
    kind = gguf.GGMLQuantizationType[stored]
    return gguf.dequantize(gguf.quantize(values, kind), kind)


@pytest.mark.parametrize(("stored", "coding"), [("Q4_0", FOUR), ("Q4_1", FOUR), ("Q8_0", EIGHT)])
def test_what_was_stored_in_such_blocks_comes_through_unchanged(stored, coding):
    values = roundtrip(normal(6, 96), stored)
    np.testing.assert_allclose(decoded(values, coding), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("used", [range(16), range(1, 16), range(15), range(2, 15), range(3, 12), [4, 9, 12], [7]])
def test_evenly_spaced_values_are_found_whichever_of_the_sixteen_a_block_uses(used):
    random = np.random.default_rng(4)
    codes = random.choice(np.array(list(used)), (40, BLOCK_SIZE))
    codes[:, : len(used)] = list(used)
    values = (codes * random.uniform(0.1, 1, (40, 1)) + random.normal(size=(40, 1))).astype(np.float32)
    np.testing.assert_allclose(decoded(values, FOUR), values, atol=2e-5)


@pytest.mark.parametrize("used", [range(16), range(1, 16), range(15), range(14)])
@pytest.mark.parametrize("zero", [0, 5, 8, 13])
def test_evenly_spaced_values_around_a_whole_zero_point_are_found(used, zero):
    random = np.random.default_rng(4)
    codes = random.choice(np.array(list(used)), (40, BLOCK_SIZE))
    codes[:, : len(used)] = list(used)
    values = ((codes - zero) * random.uniform(0.1, 1, (40, 1))).astype(np.float32)
    np.testing.assert_allclose(decoded(values, WHOLE), values, atol=2e-5)


def test_eight_bits_are_off_by_half_a_step_of_the_coarsest():
    values = normal(50, 64)
    off = (decoded(values, EIGHT) - values).reshape(-1, BLOCK_SIZE)
    largest = np.abs(values).reshape(-1, BLOCK_SIZE).max(axis=1, keepdims=True)
    assert (np.abs(off) <= largest / 64 / 2 * 1.001).all()


@pytest.mark.parametrize(("stored", "coding"), [("Q4_0", FOUR), ("Q4_1", FOUR), ("Q4_0", WHOLE), ("Q8_0", EIGHT)])
def test_the_plain_rules_are_beaten(stored, coding):
    values = normal(50, 64)
    assert squared_error(decoded(values, coding), values) < 0.95 * squared_error(roundtrip(values, stored), values)


def test_an_offset_brings_four_bits_closer_than_a_whole_zero_point():
    values = normal(50, 64)
    assert squared_error(decoded(values, FOUR), values) < 0.95 * squared_error(decoded(values, WHOLE), values)


def test_smaller_blocks_are_closer():
    values = normal(50, 64)
    errors = [squared_error(decoded(values, EIGHT, size), values) for size in (16, 32)]
    assert errors[0] < 0.8 * errors[1]


def test_the_first_value_of_a_pair_is_in_the_low_half():
    values = np.zeros((1, BLOCK_SIZE), np.float32)
    values[0, :16] = range(16)
    for coding in (FOUR, WHOLE):
        assert [byte & 15 for byte in quantize(values, coding, BLOCK_SIZE).codes[0, :8]] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize("value", [0, -3.5, 1e-20])
def test_a_block_of_one_value_keeps_it(value):
    values = np.full((2, BLOCK_SIZE), value, np.float32)
    for coding in CODINGS:
        np.testing.assert_allclose(decoded(values, coding), values, rtol=1e-6)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("shape", [(3, 32), (2, 96), (700, 64)], ids=["one block", "three blocks", "many blocks"])
def test_the_decoder_that_training_uses_agrees_with_the_naive_one(coding, shape):
    quantised = quantize(normal(*shape), coding, BLOCK_SIZE)
    np.testing.assert_allclose(dequantize(quantised, coding), naive_decode(quantised, coding), rtol=1e-6, atol=1e-6)


@given(
    arrays.arrays(np.float32, (2, 64), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.sampled_from(CODINGS),
)
def test_any_finite_matrix_can_be_quantised(values, coding):
    codes, scales, offsets, zero_points = quantize(values, coding, BLOCK_SIZE)
    assert codes.shape == (2, 64 * coding.bits // 8)
    assert scales.shape == offsets.shape == zero_points.shape == (2, 2)
    assert np.isfinite(scales).all()
    assert np.isfinite(offsets).all()
    assert (zero_points < 2**coding.bits).all()
