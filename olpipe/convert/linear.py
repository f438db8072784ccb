"""Write matrices into an ONNX graph, quantised or as float32, and products with them.

A four-bit weight is (code - 8) * scale + offset, with a scale and an offset for every block of a row. The operator that
multiplies fast does not know such offsets. So what they add to a product is computed by a second, much smaller product.
For each block, it multiplies the offset by the sum of the block's inputs. The sum is computed as the mean of the inputs
times the number of values in a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from olpipe.convert.floats import Floats, Order
from olpipe.convert.graph import CONTRIB, Graph
from olpipe.convert.quantize import Coding, Quantised, quantize

_FAST_INT8 = 4  # the accuracy level of MatMulNBits that also rounds the inputs to eight bits, block by block


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a matrix is quantised.

    Attributes:
        coding: How the values of a block are stored.
        size: How many values of a row are in a block.
    """

    coding: Coding
    size: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix. Its codes, scales and offsets, or its floats, are weights whose names begin with its own.

    Attributes:
        name: Its name.
        rows: How many rows it has, one for each value of a product.
        columns: How many columns it has, one for each value of an input.
        blocks: How it is quantised; None where its values are float32.
        has_offsets: Whether its blocks have offsets.
        has_zero_points: Whether its blocks have zero points.
    """

    name: str
    rows: int
    columns: int
    blocks: Blocks | None
    has_offsets: bool = False
    has_zero_points: bool = False


class Rows(Protocol):
    """Where matrices come from."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, the outermost dimension first."""

    def rows(self, name: str, order: Order | None = None) -> Iterator[Floats]:
        """Yield the rows of a matrix in an order, (some rows, columns) at a time."""


class Linear:
    """Writes matrices and products with them."""

    def __init__(self, graph: Graph, source: Rows, done: Callable[[], None]) -> None:
        self._graph = graph
        self._source = source
        self._done = done
        self._means: dict[str, str] = {}  # the means of blocks, by the name of the values

    def matrix(
        self,
        name: str,
        tensors: Sequence[str],
        blocks: Blocks | None,
        orders: Sequence[Order | None] = (),
        *,
        factors: Floats | None = None,
    ) -> Matrix:
        """Store tensors as one matrix, with the rows of one tensor under those of the other.

        Args:
            name: The name of the matrix.
            tensors: The names of the tensors. All have the same number of columns.
            blocks: How to quantise them; None keeps them as float32.
            orders: For each tensor the order to put its rows in. None leaves them as they are, and so do no orders.
            factors: What to multiply the columns by, (columns,). The inputs must have been divided by the same.
        """
        orders = orders or (None,) * len(tensors)
        sizes = [
            self._source.shape(tensor)[0] if order is None else len(order)
            for tensor, order in zip(tensors, orders, strict=True)
        ]
        rows, columns = sum(sizes), self._source.shape(tensors[0])[1]

        def chunks() -> Iterator[Floats]:
            for tensor, order in zip(tensors, orders, strict=True):
                for values in self._source.rows(tensor, order):
                    yield values if factors is None else values * factors
                self._done()

        if blocks is None:
            self._graph.weights.stream(f"{name}.values", np.float32, (rows, columns), chunks())
            return Matrix(name, rows, columns, None)
        return self._quantised(name, (rows, columns), blocks, chunks())

    def _quantised(self, name: str, shape: tuple[int, int], blocks: Blocks, chunks: Iterator[Floats]) -> Matrix:
        """Quantise a matrix of a shape, (rows, columns), that comes chunk by chunk."""
        # 1. The codes are written chunk by chunk. Of each chunk, only the scales, offsets and zero points are kept.
        rows, columns = shape
        parts: list[Quantised] = []

        def codes() -> Iterator[npt.NDArray[np.uint8]]:
            for values in chunks:
                part = quantize(values, blocks.coding, blocks.size)
                parts.append(part._replace(codes=part.codes[:0]))
                yield part.codes

        weights = self._graph.weights
        packed = (
            rows,
            columns // blocks.size,
            blocks.size * blocks.coding.bits // 8,
        )  # (rows, blocks, bytes of a block)
        weights.stream(f"{name}.codes", np.uint8, packed, codes())
        # 2. What belongs to the blocks, (rows, blocks of a row). Offsets are transposed for the product, and multiplied
        #    by the size of a block, because they are multiplied by means instead of sums.
        weights.add(f"{name}.scales", np.concatenate([part.scales for part in parts]))
        offsets = np.concatenate([part.offsets for part in parts])
        has_offsets = bool(offsets.any())
        if has_offsets:
            weights.add(f"{name}.offsets", np.ascontiguousarray(offsets.T) * np.float32(blocks.size))
        has_zero_points = blocks.coding is Coding.FOUR_BITS_WHOLE
        if has_zero_points:
            weights.add(f"{name}.zero_points", _pairs(np.concatenate([part.zero_points for part in parts])))
        return Matrix(name, rows, columns, blocks, has_offsets, has_zero_points)

    def multiply(self, values: str, matrix: Matrix, *, bias: str = "", output: str = "") -> str:
        """Multiply values, (batch, tokens, columns), by a matrix; gives (batch, tokens, rows)."""
        name, node = matrix.name, self._graph.node
        output = output or f"{name}.output"
        if matrix.blocks is None:
            product = f"{name}.product.output" if bias else output
            node("FusedMatMul", [values, f"{name}.values"], [product], domain=CONTRIB, transB=1)
            return node("Add", [product, bias], [output]) if bias else output
        # 1. The product with the codes and scales. Inputs that are not given in the middle have empty names.
        zero_points = f"{name}.zero_points" if matrix.has_zero_points else ""
        optional = [zero_points, "", bias] if bias else [zero_points] if zero_points else []
        product = node(
            "MatMulNBits",
            [values, f"{name}.codes", f"{name}.scales", *optional],
            [f"{name}.product.output" if matrix.has_offsets else output],
            domain=CONTRIB,
            K=matrix.columns,
            N=matrix.rows,
            bits=matrix.blocks.coding.bits,
            block_size=matrix.blocks.size,
            accuracy_level=_FAST_INT8,
        )
        # 2. What the offsets add: (batch, tokens, blocks) by (blocks, rows).
        if matrix.has_offsets:
            means = self._block_means(values, matrix.blocks.size)
            shift = node("MatMul", [means, f"{name}.offsets"], [f"{name}.shift.output"])
            node("Add", [product, shift], [output])
        return output

    def multiply_finely(self, values: str, matrix: Matrix, *, output: str) -> str:
        """Multiply values so that sixteen bits of them count, and not only eight.

        The product rounds its inputs to eight bits. So the values are parted into what eight bits can hold and the
        rest, and both parts are multiplied. This costs as much as twice the tokens, which is little for one or two.
        """
        if matrix.blocks is None:
            return self.multiply(values, matrix, output=output)
        # 1. The values block by block, (batch * tokens * blocks, values of a block), and the scale of each block.
        node, constant = self._graph.node, self._graph.constant
        blocks = constant(f"blocks.{matrix.blocks.size}", np.array([-1, matrix.blocks.size]))
        axis, parts = constant("axis", np.array([1])), f"{output}.parts"
        shape = node("Shape", [values], [f"{parts}.shape"])
        blocked = node("Reshape", [values, blocks], [f"{parts}.blocks"])
        largest = node("ReduceMax", [node("Abs", [blocked], [f"{parts}.sizes"]), axis], [f"{parts}.largest"])
        safe = node("Max", [largest, constant("tiny", np.array(1e-30, np.float32))], [f"{parts}.safe"])
        scale = node("Div", [safe, constant("largest_code", np.array(127, np.float32))], [f"{parts}.scale"])
        # 2. The two parts: the values rounded to 127 steps of their block on either side of zero, and what that leaves.
        codes = node("Round", [node("Div", [blocked, scale], [f"{parts}.steps"])], [f"{parts}.codes"])
        rounded = node("Mul", [codes, scale], [f"{parts}.rounded"])
        left = node("Sub", [blocked, rounded], [f"{parts}.left"])
        # 3. One product of both, one behind the other: (batch, 2 * tokens, columns). Its halves are added.
        both = [node("Reshape", [part, shape], [f"{part}.rows"]) for part in (rounded, left)]
        products = self.multiply(node("Concat", both, [f"{parts}.rows"], axis=1), matrix, output=f"{parts}.products")
        halves = [f"{parts}.first", f"{parts}.second"]
        node("Split", [products], halves, axis=1, num_outputs=2)
        return node("Add", halves, [output])

    def _block_means(self, values: str, size: int) -> str:
        """Compute the mean of each block of values, (batch, tokens, blocks). Products of the same values share it."""
        if values not in self._means:
            name = values.removesuffix(".output")
            # Pooling with windows of a block's size needs a single node and no weights. It knows means, but not sums.
            self._means[values] = self._graph.node(
                "AveragePool", [values], [f"{name}.means"], kernel_shape=[size], strides=[size]
            )
        return self._means[values]


def _pairs(zero_points: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Put two zero points of a row into each byte, the first one in the low half; (rows, half of the blocks)."""
    if zero_points.shape[1] % 2:
        zero_points = np.pad(zero_points, ((0, 0), (0, 1)))
    return zero_points[:, 0::2] | np.left_shift(zero_points[:, 1::2], 4)
