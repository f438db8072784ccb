"""Write a BERT encoder with its pooling as an ONNX graph in float32. It uses the fused operators of ONNX Runtime.

The graph takes several texts at once. Shorter texts are padded, and the padding is masked everywhere, so that it
changes no vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper

from olpipe.convert.bert import BertConfig
from olpipe.convert.graph import CONTRIB, Graph, write_graph
from olpipe.convert.sentence_folder import Pooling
from olpipe.convert.tensor_file import Floats
from olpipe.convert.weights import WeightFile

_LOWEST = np.float32(-1e9)  # below all values after a norm, so it is never the largest value of a text


class Tensors(Protocol):
    """The weights of an encoder. They are read by the names that GGUF files give them."""

    def rows(self, name: str) -> Iterator[Floats]:
        """Yield the rows of a matrix, (some rows, columns) float32 at a time."""

    def vector(self, name: str) -> Floats:
        """Return a vector, (values,) float32."""


def write_encoder(
    source: Tensors, config: BertConfig, pooling: Pooling, path: Path, done: Callable[[], None] = lambda: None
) -> None:
    """Write `path` and, beside it, its weights as `<path>.data`.

    The graph's inputs are `input_ids`, (texts, length) int32, and `lengths`, (texts,) int32. The latter says how many
    tokens of each row belong to its text. The output is `vectors`, (texts, width) float32. They are not scaled.

    Args:
        source: The weights, as `check_tensors` checked them.
        config: The sizes of the encoder.
        pooling: How the vectors of a text's tokens become one vector.
        path: The `.onnx` file to write.
        done: Called after every tensor.
    """
    write_graph(path, lambda weights: _Writer(source, config, weights, done).graph(pooling))


class _Writer:
    """Appends nodes in the order of the data flow. Methods return the names of outputs, which say what they hold."""

    def __init__(self, source: Tensors, config: BertConfig, weights: WeightFile, done: Callable[[], None]) -> None:
        self._source = source
        self._config = config
        self._weights = weights
        self._done = done
        self._graph = Graph(weights)
        self._node = self._graph.node

    def graph(self, pooling: Pooling) -> onnx.GraphProto:
        """Return the whole graph."""
        # 1. The layers. The norm after a block adds the block's result to what went into it.
        hidden = self._embed()  # (texts, length, width), as all values up to the pooling
        for layer in range(self._config.layers):
            block = f"blk.{layer}"
            attended = self._attention(block, hidden)
            hidden = self._add_and_norm(f"{block}.attn_output_norm", hidden, attended, bias=f"{block}.attn_output.bias")
            opened = self._feed_forward(block, hidden)
            hidden = self._add_and_norm(f"{block}.layer_output_norm", hidden, opened, bias=f"{block}.ffn_down.bias")
        # 2. The pooling: one vector for each text.
        {Pooling.MEAN: self._mean, Pooling.CLS: self._first, Pooling.MAX: self._largest}[pooling](hidden)
        value = helper.make_tensor_value_info
        inputs = [
            value("input_ids", TensorProto.INT32, ["texts", "length"]),
            value("lengths", TensorProto.INT32, ["texts"]),
        ]
        output = value("vectors", TensorProto.FLOAT, ["texts", self._config.hidden_size])
        return helper.make_graph(self._graph.nodes, self._config.family, inputs, [output], self._weights.initializers)

    # --- the encoder ----------------------------------------------------------------------------

    def _embed(self) -> str:
        """Look the tokens up, add their positions, and normalise; gives (texts, length, width)."""
        config = self._config
        tokens = self._weights.stream(
            "token_embd", np.float32, (config.vocab_size, config.hidden_size), self._source.rows("token_embd.weight")
        )
        self._done()
        # All tokens are of the first type, because there is never a second text. Its embedding, (width,), is added to
        # the positions, (positions, width), here once instead of in every forward.
        positions = self._matrix("position_embd.weight")[config.skipped_positions :]
        positions = positions + self._matrix("token_types.weight")[0]
        name = "token_embd_norm"
        self._node(
            "EmbedLayerNormalization",
            [
                "input_ids",
                "",
                tokens,
                self._weights.add("position_embd", positions),
                "",
                self._vector(f"{name}.weight"),
                self._vector(f"{name}.bias"),
            ],
            [f"{name}.output", f"{name}.mask"],
            domain=CONTRIB,
            epsilon=config.epsilon,
        )
        return f"{name}.output"

    def _attention(self, block: str, hidden: str) -> str:
        """Write the attention of a layer: (texts, length, width) in and out. Tokens attend to those of their own text.

        The bias of the last product is added by the norm that follows.
        """
        name = f"{block}.attn"
        projected = [self._multiply(hidden, f"{name}_{part}") for part in "qkv"]
        biases = np.concatenate([self._read_vector(f"{name}_{part}.bias") for part in "qkv"])
        attended = self._node(
            "MultiHeadAttention",
            [*projected, self._weights.add(f"{name}_qkv.bias", biases), "lengths"],
            [f"{name}.output"],
            domain=CONTRIB,
            num_heads=self._config.heads,
        )
        return self._multiply(attended, f"{name}_output")

    def _feed_forward(self, block: str, hidden: str) -> str:
        """Write the feed-forward block of a layer: (texts, length, width) in and out.

        The bias of the last product is added by the norm that follows.
        """
        up = self._multiply(hidden, f"{block}.ffn_up")
        opened = self._node(
            "BiasGelu", [up, self._vector(f"{block}.ffn_up.bias")], [f"{block}.gelu.output"], domain=CONTRIB
        )
        return self._multiply(opened, f"{block}.ffn_down")

    def _add_and_norm(self, norm: str, hidden: str, added: str, *, bias: str) -> str:
        """Add a block's result and its last bias to what went into the block, and normalise the sum.

        Args:
            norm: The name of the norm.
            hidden: What went into the block.
            added: The block's result, without the bias.
            bias: The tensor with the bias.
        """
        weights = [self._vector(f"{norm}.weight"), self._vector(f"{norm}.bias"), self._vector(bias)]
        return self._node(
            "SkipLayerNormalization",
            [added, hidden, *weights],
            [f"{norm}.output"],
            domain=CONTRIB,
            epsilon=self._config.epsilon,
        )

    # --- pooling: (texts, length, width) becomes (texts, width) -----------------------------------

    def _mean(self, hidden: str) -> None:
        """Take the mean over the tokens of each text: a matrix product with 1 / length for each of its tokens."""
        axis = self._graph.constant("axis", np.array([1]))
        of_text = self._node("Cast", [self._is_of_text()], ["of_text.floats"], to=TensorProto.FLOAT)
        counts = self._node("Cast", ["ends"], ["counts"], to=TensorProto.FLOAT)  # (texts, 1)
        shares = self._node("Div", [of_text, counts], ["shares"])  # (texts, length)
        rows = self._node("Unsqueeze", [shares, axis], ["shares.rows"])  # (texts, 1, length)
        self._node("Squeeze", [self._node("MatMul", [rows, hidden], ["mean"]), axis], ["vectors"])

    def _first(self, hidden: str) -> None:
        """Take the vector of each text's first token."""
        self._node("Gather", [hidden, self._graph.constant("first", np.array(0))], ["vectors"], axis=1)

    def _largest(self, hidden: str) -> None:
        """Take the largest value of each dimension over the tokens of a text."""
        constant = self._graph.constant
        last = constant("last_axis", np.array([2]))
        of_text = self._node("Unsqueeze", [self._is_of_text(), last], ["of_text.columns"])  # (texts, length, 1)
        masked = self._node("Where", [of_text, hidden, constant("lowest", np.array(_LOWEST))], ["masked"])
        self._node("ReduceMax", [masked, constant("axis", np.array([1]))], ["vectors"], keepdims=0)

    def _is_of_text(self) -> str:
        """Compute whether each token belongs to its text and is not padding, (texts, length).

        It also makes the value `ends`, (texts, 1): the number of tokens of each text.
        """
        constant, int32 = self._graph.constant, np.int32
        length = self._node("Shape", ["input_ids"], ["length"], start=1, end=2)
        scalar = self._node("Cast", [self._node("Squeeze", [length], ["length.scalar"])], ["end"], to=TensorProto.INT32)
        numbers = [constant("zero", np.array(0, int32)), scalar, constant("one", np.array(1, int32))]
        places = self._node("Range", numbers, ["places"])  # (length,)
        ends = self._node("Unsqueeze", ["lengths", constant("axis", np.array([1]))], ["ends"])
        return self._node("Less", [places, ends], ["of_text"])

    # --- weights ----------------------------------------------------------------------------------

    def _multiply(self, values: str, name: str) -> str:
        """Multiply values, (…, columns), by a matrix that the source has as (rows, columns); gives (…, rows)."""
        matrix = self._weights.add(name, np.ascontiguousarray(self._matrix(f"{name}.weight").T))
        return self._node("MatMul", [values, matrix], [f"{name}.output"])

    def _matrix(self, name: str) -> Floats:
        """Read a matrix, (rows, columns)."""
        matrix = np.concatenate(list(self._source.rows(name)))
        self._done()
        return matrix

    def _read_vector(self, name: str) -> Floats:
        """Read a vector, (values,)."""
        values = self._source.vector(name)
        self._done()
        return values

    def _vector(self, name: str) -> str:
        """Read a vector and add it to the weights; returns its name."""
        return self._weights.add(name, self._read_vector(name))
