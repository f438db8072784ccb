"""Products with quantised matrices, run by ONNX Runtime and judged by numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import open_gguf
from olpipe.convert.graph import CONTRIB, Graph
from olpipe.convert.linear import Blocks, Linear
from olpipe.convert.quantize import Coding, dequantize, quantize
from olpipe.convert.weights import WeightFile
from olpipe.testing.gguf import write_gguf

ROWS = 24


def product(folder, values, matrix, blocks, *, bias=None, factors=None, finely=False):
    """Multiply values, (tokens, columns), by the transposed matrix, as a converted decoder does."""
    import onnxruntime

    write_gguf(folder / "one.gguf", {}, {"matrix": matrix})
    with WeightFile(folder / "one.onnx.data") as weights:
        graph = Graph(weights)
        linear = Linear(graph, FloatTensors(open_gguf(folder / "one.gguf")), lambda: None)
        quantised = linear.matrix("matrix", ["matrix"], blocks, factors=factors)
        if finely:
            linear.multiply_finely("values", quantised, output="output")
        else:
            added = "" if bias is None else weights.add("bias", bias)
            linear.multiply("values", quantised, bias=added, output="output")
    signature = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]) for name in ("values", "output")
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "one", signature[:1], signature[1:], weights.initializers),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)],
        ir_version=10,
    )
    onnx.save(model, folder / "one.onnx")
    session = onnxruntime.InferenceSession(folder / "one.onnx")
    return session.run(["output"], {"values": values[None]})[0][0]


def rounded_inputs(tokens, columns, block_size):
    """Return inputs that are a whole number of steps in every block, so that rounding to eight bits leaves them."""
    inputs = np.random.default_rng(1).integers(-127, 128, (tokens, columns)).astype(np.float32)
    inputs[:, ::block_size] = 127
    return inputs


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("blocks_of_a_row", [1, 2, 3, 5])
@pytest.mark.parametrize("tokens", [1, 3])
def test_products_are_those_with_the_values_that_the_codes_stand_for(tmp_path, coding, blocks_of_a_row, tokens):
    matrix = np.random.default_rng(2).normal(0.2, 1, (ROWS, 32 * blocks_of_a_row)).astype(np.float32)
    inputs = rounded_inputs(tokens, matrix.shape[1], 32)
    bias = np.arange(ROWS, dtype=np.float32)
    expected = inputs @ dequantize(quantize(matrix, coding, 32), coding).T + bias
    measured = product(tmp_path, inputs, matrix, Blocks(coding, 32), bias=bias)
    np.testing.assert_allclose(measured, expected, atol=2e-5 * np.abs(expected).max())


def test_products_in_two_parts_are_closer_by_far(tmp_path):
    random = np.random.default_rng(3)
    matrix, inputs = (random.normal(size=(rows, 96)).astype(np.float32) for rows in (ROWS, 2))
    blocks = Blocks(Coding.EIGHT_BITS, 32)
    expected = inputs @ dequantize(quantize(matrix, blocks.coding, blocks.size), blocks.coding).T
    coarse, fine = (
        np.linalg.norm(product(tmp_path, inputs, matrix, blocks, finely=finely) - expected) / np.linalg.norm(expected)
        for finely in (False, True)
    )
    assert fine < coarse / 20
    assert coarse < 0.02


def test_levelled_inputs_are_rounded_less(tmp_path):
    random = np.random.default_rng(4)
    matrix, inputs = (random.normal(size=(rows, 96)).astype(np.float32) for rows in (ROWS, 2))
    inputs[:, ::12] *= 50
    levels = np.ones(96, np.float32)
    levels[::12] = np.sqrt(50)
    blocks = Blocks(Coding.EIGHT_BITS, 32)
    plain = product(tmp_path, inputs, matrix, blocks)
    levelled = product(tmp_path, inputs / levels, matrix, blocks, factors=levels)
    expected = inputs @ matrix.T
    assert np.linalg.norm(levelled - expected) < np.linalg.norm(plain - expected) / 2
