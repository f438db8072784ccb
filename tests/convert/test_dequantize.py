"""The `gguf` package is the oracle: every format is widened to the same bits."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from olpipe.convert.dequantize import dequantize
from olpipe.convert.tensor_types import TENSOR_TYPES
from olpipe.errors import ModelUnsupported

FORMATS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


def tensor_type(name):
    return next(kind for kind in TENSOR_TYPES.values() if kind.name == name)


@pytest.mark.parametrize("name", FORMATS)
def test_random_blocks_are_widened_bit_for_bit_as_the_gguf_package_does(name):
    kind = tensor_type(name)
    raw = np.random.default_rng(7).integers(0, 256, (40, 3 * kind.block_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(raw, gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(dequantize(raw, kind), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_keep_their_order_and_width(name):
    kind = tensor_type(name)
    raw = np.random.default_rng(8).integers(0, 60, (5, 2 * kind.block_bytes), dtype=np.uint8)
    together = dequantize(raw, kind)
    assert together.shape == (5, 2 * kind.block_size)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[3], dequantize(raw[3:4], kind)[0])


def test_a_format_that_is_not_read_is_named_with_those_that_are():
    with pytest.raises(ModelUnsupported, match="tensors of type `IQ4_XS` cannot be converted") as caught:
        dequantize(np.zeros((1, 136), np.uint8), tensor_type("IQ4_XS"))
    assert caught.value.hint == f"use a file of {', '.join(FORMATS)} tensors"


def test_block_sizes_are_those_of_the_gguf_package():
    known = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    for number, kind in TENSOR_TYPES.items():
        if number in known:
            assert (kind.name, kind.block_size, kind.block_bytes) == known[number]
