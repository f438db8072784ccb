"""Write the parts that vision encoders share: products, norms, attention and feed-forward blocks.

In comments, the shapes of values are (tiles, tokens, width). A vision encoder that sees an image whole has one tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from olpipe.convert.floats import Floats, Order
from olpipe.convert.graph import CONTRIB, Graph
from olpipe.convert.linear import Blocks, Linear
from olpipe.convert.quantize import Coding
from olpipe.convert.weights import WeightFile
from olpipe.interfaces.vision import VisionConfig, VisionTensors

_EIGHT_BITS = Blocks(Coding.EIGHT_BITS, 32)


class Activation(Enum):
    """What a feed-forward block does to its inner values. A value is an operator of ONNX Runtime and its `alpha`."""

    GELU = ("Gelu", None)
    """With the exact error function."""
    TANH_GELU = ("FastGelu", None)
    """With an approximation by the hyperbolic tangent."""
    QUICK_GELU = ("QuickGelu", 1.702)
    """x * sigmoid(1.702 * x)."""
    SILU = ("QuickGelu", 1.0)
    """x * sigmoid(x)."""


class Encoder:
    """Appends the nodes of a vision encoder in the order of the data flow.

    Methods return the names of outputs. A node and its weights are named after the tensor that it uses, without the
    `.weight` at the end of it.

    Attributes:
        graph: The graph.
        source: The weights.
        config: The sizes.
    """

    def __init__(
        self,
        source: VisionTensors,
        config: VisionConfig,
        weights: WeightFile,
        *,
        eight_bits: bool,
        done: Callable[[], None],
    ) -> None:
        self.graph = Graph(weights)
        self.source = source
        self.config = config
        self._done = done
        self._blocks = _EIGHT_BITS if eight_bits else None
        self._exact = Linear(self.graph, source, done)
        # The width inside a feed-forward block need not be a multiple of a block's size. Zeros fill it up: every
        # activation leaves a zero as it is, and the matrix that follows multiplies it by zero.
        size = _EIGHT_BITS.size if eight_bits else 1
        self._opening = Linear(self.graph, _Padded(source, rows_of=size), done)
        self._closing = Linear(self.graph, _Padded(source, columns_of=size), done)

    # --- single nodes ---------------------------------------------------------------------------

    def add(self, first: str, second: str, name: str) -> str:
        """Add two values of the same shape; the sum is called `name`."""
        return self.graph.node("Add", [first, second], [name])

    def reshape(self, values: str, shape: Sequence[int], name: str) -> str:
        """Give values another shape, where 0 keeps a dimension and -1 takes what is left; they are called `name`."""
        key = "shape." + ".".join(map(str, shape))
        return self.graph.node("Reshape", [values, self.graph.constant(key, np.array(shape))], [name])

    def activate(self, values: str, activation: Activation, name: str) -> str:
        """Apply an activation to values; the result is called `name`."""
        operator, alpha = activation.value
        attributes = {} if alpha is None else {"alpha": alpha}
        return self.graph.node(operator, [values], [name], domain=CONTRIB, **attributes)

    def vector(self, tensor: str) -> str:
        """Read a vector and add it to the weights; returns its name."""
        return self.stored(tensor, self.source.vector(tensor))

    def stored(self, name: str, values: Floats) -> str:
        """Add a tensor that was read from the source to the weights; returns its name."""
        self._done()
        return self.graph.weights.add(name, values)

    # --- layers ---------------------------------------------------------------------------------

    def multiply(self, values: str, name: str, *, exact: bool = False, output: str = "") -> str:
        """Multiply values by the matrix `<name>.weight`, and add `<name>.bias` where there is one.

        Args:
            values: The values, (…, columns).
            name: The name of the layer.
            exact: Whether the matrix stays float32 where others are stored with eight bits.
            output: What to call the result, (…, rows).
        """
        bias = self.vector(f"{name}.bias") if self.source.has(f"{name}.bias") else ""
        columns = self.source.shape(f"{name}.weight")[1]
        blocks = None if exact else self._fitting(columns)
        matrix = self._exact.matrix(name, [f"{name}.weight"], blocks)
        return self._exact.multiply(values, matrix, bias=bias, output=output)

    def norm(self, values: str, name: str, *, epsilon: float | None = None, output: str = "") -> str:
        """Normalise each row of values with `<name>.weight`.

        Where there is a `<name>.bias`, this is a layer norm. Otherwise it is an RMS norm.
        """
        output = output or f"{name}.output"
        weight = self.vector(f"{name}.weight")
        epsilon = self.config.epsilon if epsilon is None else epsilon
        if self.source.has(f"{name}.bias"):
            inputs = [values, weight, self.vector(f"{name}.bias")]
            return self.graph.node("LayerNormalization", inputs, [output], axis=-1, epsilon=epsilon)
        inputs = [values, weight]
        return self.graph.node("SimplifiedLayerNormalization", inputs, [output], axis=-1, epsilon=epsilon, stash_type=1)

    def projections(self, values: str, block: str) -> tuple[str, str, str]:
        """Compute the queries, keys and values of a block from its normalised input, (tiles, tokens, width) each.

        The file has either one matrix for each, or all three in one, `attn_qkv`, under each other.
        """
        if not self.source.has(f"{block}.attn_qkv.weight"):
            queries, keys, contents = (self.multiply(values, f"{block}.attn_{part}") for part in "qkv")
            return queries, keys, contents
        name, tensor = f"{block}.attn_qkv", f"{block}.attn_qkv.weight"
        biases = ["", "", ""]
        if self.source.has(f"{name}.bias"):
            parts = zip("qkv", np.split(self.source.vector(f"{name}.bias"), 3), strict=True)
            biases = [self.graph.weights.add(f"{block}.attn_{part}.bias", values_of) for part, values_of in parts]
            self._done()
        rows, columns = self.source.shape(tensor)
        part_of_one = Linear(self.graph, self.source, lambda: None)  # three parts are one tensor, so they count once
        outputs: list[str] = []
        for part, order, bias in zip("qkv", np.arange(rows).reshape(3, -1), biases, strict=True):
            matrix = part_of_one.matrix(f"{block}.attn_{part}", [tensor], self._fitting(columns), [order])
            outputs.append(part_of_one.multiply(values, matrix, bias=bias))
        self._done()
        return outputs[0], outputs[1], outputs[2]

    def attend(self, projected: Sequence[str], name: str, *, mask: str = "") -> str:
        """Let tokens attend to each other; the result, (tiles, tokens, width), is called `name`.

        Args:
            projected: Queries, keys and values, (tiles, tokens, width) each.
            name: The name of the result.
            mask: Which tokens of each tile may be attended to, (tiles, tokens) int32 with ones and zeros. Without it,
                all may.
        """
        inputs = [*projected, "", mask] if mask else projected
        return self.graph.node("MultiHeadAttention", inputs, [name], domain=CONTRIB, num_heads=self.config.heads)

    def feed_forward(self, values: str, block: str, activation: Activation) -> str:
        """Compute a feed-forward block, (tiles, tokens, width) in and out.

        Where the file has a matrix `ffn_gate`, what it gives is activated and multiplied by what `ffn_up` gives.
        """
        opened = self._open(values, f"{block}.ffn_up")
        if self.source.has(f"{block}.ffn_gate.weight"):
            gate = self.activate(self._open(values, f"{block}.ffn_gate"), activation, f"{block}.ffn_act.output")
            inner = self.graph.node("Mul", [gate, opened], [f"{block}.ffn_product.output"])
        else:
            inner = self.activate(opened, activation, f"{block}.ffn_act.output")
        name = f"{block}.ffn_down"
        bias = self.vector(f"{name}.bias") if self.source.has(f"{name}.bias") else ""
        matrix = self._closing.matrix(name, [f"{name}.weight"], self._blocks)
        return self._closing.multiply(inner, matrix, bias=bias)

    def block(self, hidden: str, block: str, activation: Activation) -> str:
        """Write a whole block with a norm in front of its attention and one in front of its feed-forward block."""
        projected = self.projections(self.norm(hidden, f"{block}.ln1"), block)
        attended = self.multiply(self.attend(projected, f"{block}.attn.output"), f"{block}.attn_out")
        hidden = self.add(hidden, attended, f"{block}.attn.residual")
        opened = self.feed_forward(self.norm(hidden, f"{block}.ln2"), block, activation)
        return self.add(hidden, opened, f"{block}.ffn.residual")

    # --- the whole --------------------------------------------------------------------------------

    def finished(
        self, inputs: Mapping[str, tuple[Any, Sequence[int | str]]], outputs: Mapping[str, Sequence[int | str]]
    ) -> onnx.GraphProto:
        """Return the graph.

        Args:
            inputs: For each input its numpy type and its shape. A size that may vary has a name.
            outputs: For each output its shape. All are float32.
        """
        value = helper.make_tensor_value_info
        taken = [
            value(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in inputs.items()
        ]
        given = [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        return helper.make_graph(self.graph.nodes, self.config.family, taken, given, self.graph.weights.initializers)

    def _fitting(self, columns: int) -> Blocks | None:
        """Return how to store a matrix whose rows have so many values. Rows that are no whole blocks stay float32."""
        return self._blocks if self._blocks is not None and columns % self._blocks.size == 0 else None

    def _open(self, values: str, name: str) -> str:
        """Multiply values by a matrix that leads into a feed-forward block; gives (tiles, tokens, filled-up width)."""
        tensor = f"{name}.weight"
        matrix = self._opening.matrix(name, [tensor], self._fitting(self.source.shape(tensor)[1]))
        bias = ""
        if self.source.has(f"{name}.bias"):
            values_of = self.source.vector(f"{name}.bias")
            bias = self.stored(f"{name}.bias", np.pad(values_of, (0, matrix.rows - len(values_of))))
        return self._opening.multiply(values, matrix, bias=bias)


@dataclass(frozen=True, slots=True)
class _Padded:
    """Matrices with zeros behind their rows and columns, so that both are multiples of a number.

    Attributes:
        source: Where the matrices come from.
        rows_of: What the number of rows is a multiple of.
        columns_of: What the number of columns is a multiple of.
    """

    source: VisionTensors
    rows_of: int = 1
    columns_of: int = 1

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a matrix, the zeros included."""
        rows, columns = self.source.shape(name)
        return rows + -rows % self.rows_of, columns + -columns % self.columns_of

    def rows(self, name: str, order: Order | None = None) -> Iterator[Floats]:
        """Yield the rows of a matrix, (some rows, columns) at a time, the zeros included."""
        rows, columns = self.source.shape(name)
        behind = -columns % self.columns_of
        for values in self.source.rows(name, order):
            yield np.pad(values, ((0, 0), (0, behind))) if behind else values
        below = -rows % self.rows_of
        if below:
            yield np.zeros((below, columns + behind), np.float32)
