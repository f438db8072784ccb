"""Write a decoder as an ONNX graph.

The graph uses the fused operators of ONNX Runtime. Its inputs, outputs and KV cache are those that ONNX Runtime GenAI
expects of a `llama` model. A decoder that reads images has inputs of its own for them. In comments, the shapes of
values are (batch, length, …), where length is the number of new tokens and total length also counts the tokens in the
KV cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from olpipe.convert.architectures import BIASES, DEEPSTACK, FEATURE_ROWS, FEATURES, POSITIONS
from olpipe.convert.attention import Attention
from olpipe.convert.decoder_config import DecoderConfig
from olpipe.convert.floats import Floats, FloatTensors
from olpipe.convert.graph import CONTRIB, Graph, write_graph
from olpipe.convert.linear import Blocks, Linear, Matrix
from olpipe.convert.weights import WeightFile

_FAR = np.iinfo(np.int64).max  # behind the end of any sequence
_HIDDEN = "hidden_states"
"""The graph's output for embeddings. It costs nothing in a forward that does not ask for it."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How finely to quantise.

    Attributes:
        layers: How the matrices of the layers are quantised; None keeps them as float32.
        embedding: How the embedding and the output projection are quantised; None keeps them as float32.
        fine_inputs: Whether to round the inputs of matrix products more finely. A product rounds its inputs to eight
            bits. With this, the inputs of the output projection count with sixteen bits, and normalised inputs are
            levelled first (see `_levels`).
    """

    layers: Blocks | None
    embedding: Blocks | None
    fine_inputs: bool


def write_decoder(
    source: FloatTensors, config: DecoderConfig, path: Path, precision: Precision, done: Callable[[], None]
) -> None:
    """Write `path` and, beside it, its weights as `<path>.data`.

    Args:
        source: The weights.
        config: The sizes of the decoder, as `read_config` checked them.
        path: The `.onnx` file to write.
        precision: How finely to quantise.
        done: Called after every tensor.
    """
    write_graph(path, lambda weights: _Writer(source, config, weights, precision, done).graph())


class _Writer:
    """Appends nodes in the order of the data flow. Methods return the names of outputs, which say what they hold."""

    def __init__(
        self,
        source: FloatTensors,
        config: DecoderConfig,
        weights: WeightFile,
        precision: Precision,
        done: Callable[[], None],
    ) -> None:
        self._source = source
        self._config = config
        self._weights = weights
        self._precision = precision
        self._done = done
        self._graph = Graph(weights)
        self._linear = Linear(self._graph, source, done)
        self._node = self._graph.node
        self._embedding = self._linear.matrix("embedding", ["token_embd.weight"], precision.embedding)
        self._levels = _levels(source) if precision.fine_inputs else None
        self._attention = Attention(
            self._graph,
            self._linear,
            source,
            config,
            blocks=precision.layers,
            levels=self._levels,
            vector=self._vector,
        )

    def graph(self) -> onnx.GraphProto:
        """Return the whole graph."""
        # 1. What all layers need.
        self._lengths()
        self._attention.rotary_tables()
        # 2. The layers. Each block's result is added to the residual stream by the norm that follows the block.
        residual = self._with_features(self._embed())  # (batch, length, hidden_size), as all values between blocks
        pending = None  # what the block before adds to the residual stream
        for layer in range(self._config.layers):
            name, block = f"layers.{layer}", f"blk.{layer}"
            normed, residual = self._norm(f"{name}.attention.norm", f"{block}.attn_norm.weight", residual, pending)
            attended = self._attention.block(layer, normed)
            attended = self._outer_norm(f"{block}.post_attention_norm.weight", attended)
            normed, residual = self._norm(f"{name}.feed_forward.norm", f"{block}.ffn_norm.weight", residual, attended)
            pending = self._outer_norm(f"{block}.post_ffw_norm.weight", self._feed_forward(layer, normed))
            pending = self._with_deepstack(layer, pending)
        # 3. The logits.
        normed, _ = self._norm("norm", "output_norm.weight", residual, pending, output=_HIDDEN)
        self._project(normed)
        inputs, outputs = _signature(self._config)
        return helper.make_graph(
            self._graph.nodes, self._config.architecture, inputs, outputs, self._weights.initializers
        )

    def _lengths(self) -> None:
        """Compute from the attention mask, (batch, total length), the lengths that the attention operator needs."""
        # 1. `past_lengths`, (batch,): the index of each row's last token. The constant is the axis 1, and also the
        #    number 1 that is subtracted.
        axis = self._graph.constant("axis", np.array([1]))
        summed = self._node("ReduceSum", ["attention_mask", axis], ["mask.sum"], keepdims=0)
        self._node("Cast", [self._node("Sub", [summed, axis], ["mask.last"])], ["past_lengths"], to=TensorProto.INT32)
        # 2. `total_length`, a scalar: the length of the longest row.
        shape = self._node("Shape", ["attention_mask"], ["mask.length"], start=1, end=2)
        scalar = self._node("Squeeze", [shape], ["mask.length.scalar"])
        self._node("Cast", [scalar], ["total_length"], to=TensorProto.INT32)

    def _embed(self) -> str:
        """Look the tokens up in the embedding; gives (batch, length, hidden_size).

        Where the embedding is the output projection, too, both operators read the same bytes in different shapes.
        """
        embedded = self._looked_up(self._embedding)
        if not self._config.kind.scaled_embedding:
            return embedded
        scale = self._graph.constant("embedding.scale", np.array(self._config.hidden_size**0.5, np.float32))
        return self._node("Mul", [embedded, scale], ["embedding.scaled.output"])

    def _looked_up(self, matrix: Matrix) -> str:
        """Return the rows of a matrix that belong to the tokens, (batch, length, hidden_size)."""
        blocks = matrix.blocks
        if blocks is None:
            return self._node("Gather", [f"{matrix.name}.values", "input_ids"], ["embedding.output"])
        codes = self._weights.alias(
            "embedding.rows", f"{matrix.name}.codes", (matrix.rows, matrix.columns * blocks.coding.bits // 8)
        )
        return self._node(
            "GatherBlockQuantized",
            [codes, "input_ids", f"{matrix.name}.scales"],
            ["embedding.output"],
            domain=CONTRIB,
            bits=blocks.coding.bits,
            block_size=blocks.size,
            gather_axis=0,
            quantize_axis=1,
        )

    def _with_features(self, embedded: str) -> str:
        """Put the features of images in the places of their tokens; (batch, length, hidden_size) in and out."""
        if self._config.sight is None:
            return embedded
        # 1. A row of zeros stands before the features. So the number 0 of a row means a token of text.
        constant, node = self._graph.constant, self._node
        zeros = constant("features.zeros", np.zeros((1, self._config.hidden_size), np.float32))
        rows = node("Concat", [zeros, FEATURES], ["features.rows"], axis=0)  # (1 + rows, hidden_size)
        shown = node("Gather", [rows, FEATURE_ROWS], ["features.shown"])
        # 2. Where there is a feature, it takes the place of the embedding.
        is_image = node("Greater", [FEATURE_ROWS, constant("zero", np.array(0))], ["features.is_image"])
        mask = node("Unsqueeze", [is_image, constant("last", np.array([-1]))], ["features.mask"])
        return node("Where", [mask, shown, embedded], ["features.output"])

    def _with_deepstack(self, layer: int, added: str) -> str:
        """Add the features that the vision encoder has for this layer; (batch, length, hidden_size) in and out."""
        sight, constant, node = self._config.sight, self._graph.constant, self._node
        if sight is None or layer >= sight.deepstack:
            return added
        name = f"layers.{layer}.deepstack"
        zeros = constant("features.zeros", np.zeros((1, self._config.hidden_size), np.float32))
        own = node("Gather", [DEEPSTACK, constant(f"layer.{layer}", np.array(layer))], [f"{name}.features"])
        rows = node("Concat", [zeros, own], [f"{name}.rows"], axis=0)  # (1 + rows, hidden_size)
        return node("Add", [added, node("Gather", [rows, FEATURE_ROWS], [f"{name}.shown"])], [f"{name}.output"])

    def _project(self, normed: str) -> None:
        """Compute the logits of the last token only, (batch, 1, vocab_size). No other logits are ever needed."""
        constant = self._graph.constant
        span = [constant("start", np.array([-1])), constant("end", np.array([_FAR])), constant("axis", np.array([1]))]
        normed = self._node("Slice", [normed, *span], ["last.output"])
        matrix = self._embedding
        if not self._config.tied_embeddings:
            matrix = self._linear.matrix("output", ["output.weight"], self._precision.embedding)
        multiply = self._linear.multiply_finely if self._precision.fine_inputs else self._linear.multiply
        multiply(normed, matrix, output="logits")

    def _norm(
        self, name: str, tensor: str, residual: str, added: str | None, *, output: str | None = None
    ) -> tuple[str, str]:
        """Add a block's result to the residual stream, and normalise the stream.

        Args:
            name: The name of the node.
            tensor: The tensor with the weights of the norm.
            residual: The residual stream.
            added: The block's result; None before the first block.
            output: What to call the normalised stream.

        Returns:
            The normalised stream and the residual stream, (batch, length, hidden_size) each.
        """
        output = output or f"{name}.output"
        values = self._vector(tensor)
        if self._levels is not None and tensor.startswith("blk."):
            values = values / self._levels  # the matrices that follow are multiplied by the levels
        weight = self._weights.add(f"{name}.weight", values)
        epsilon = self._config.epsilon
        if added is None:
            inputs = [residual, weight]
            self._node("SimplifiedLayerNormalization", inputs, [output], axis=-1, epsilon=epsilon, stash_type=1)
            return output, residual
        total = f"{name}.residual"
        self._node(
            "SkipSimplifiedLayerNormalization",
            [residual, added, weight],
            [output, "", "", total],
            domain=CONTRIB,
            epsilon=epsilon,
        )
        return output, total

    def _outer_norm(self, tensor: str, values: str) -> str:
        """Normalise the result of a block, (batch, length, hidden_size), where the architecture does so."""
        if not self._config.kind.outer_norms:
            return values
        name = tensor.removesuffix(".weight")
        weight = self._weights.add(tensor, self._vector(tensor))
        epsilon = self._config.epsilon
        inputs = [values, weight]
        return self._node(
            "SimplifiedLayerNormalization", inputs, [f"{name}.output"], axis=-1, epsilon=epsilon, stash_type=1
        )

    def _feed_forward(self, layer: int, normed: str) -> str:
        """Write the feed-forward block of a layer: (batch, length, hidden_size) in and out."""
        name = f"layers.{layer}.feed_forward"
        gate, up, down = (self._feed_forward_matrix(layer, part) for part in ("gate", "up", "down"))
        opened = self._linear.multiply(normed, gate)
        if self._config.kind.gelu:
            opened = self._node("FastGelu", [opened], [f"{name}.gelu.output"], domain=CONTRIB)
        else:
            # The operator computes x * sigmoid(alpha * x). With alpha 1 this is SiLU.
            opened = self._node("QuickGelu", [opened], [f"{name}.silu.output"], domain=CONTRIB, alpha=1.0)
        product = self._node("Mul", [opened, self._linear.multiply(normed, up)], [f"{name}.product.output"])
        return self._linear.multiply(product, down)

    def _feed_forward_matrix(self, layer: int, part: str) -> Matrix:
        """Write one of the three matrices of a feed-forward block. A fused tensor holds the gate above the other."""
        tensor, order, size = f"blk.{layer}.ffn_{part}.weight", None, self._config.feed_forward_size
        if self._config.kind.fused and part != "down":
            tensor = f"blk.{layer}.ffn_up.weight"
            order = np.arange(size) + (size if part == "up" else 0)
        factors = None if part == "down" else self._levels
        name = f"layers.{layer}.feed_forward.{part}"
        return self._linear.matrix(name, [tensor], self._precision.layers, [order], factors=factors)

    def _vector(self, tensor: str) -> Floats:
        values = self._source.vector(tensor)
        self._done()
        return values


def _levels(source: FloatTensors) -> Floats:
    """Return a level for each channel of the residual stream, (hidden_size,).

    The normalised inputs of the layers are divided by the levels, and the columns of the matrices that they are
    multiplied with are multiplied by the levels. So the products stay the same, but they are rounded less.

    A few channels are many times larger than the rest. A block of inputs is rounded in steps that depend on its largest
    value, so a large channel makes the steps too coarse for all other values of its block. The sizes of the embedding's
    columns show which channels are large. A level is the square root of such a size, which is half way to equal sizes:
    to go all the way would make the matrices harder to round. Channels below the median keep level 1. The embedding
    hardly uses them, but the layers may.
    """
    sizes = source.column_sizes("token_embd.weight")
    least = max(np.median(sizes), sizes.max() / 100, np.finfo(np.float32).tiny)
    levels: Floats = np.sqrt(sizes.clip(least) / least)
    return levels


def _signature(config: DecoderConfig) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return the inputs and outputs of the graph. The sizes that may vary have names."""
    cache_inputs: list[onnx.ValueInfoProto] = []
    cache_outputs: list[onnx.ValueInfoProto] = []
    for layer in range(config.layers):
        for part in ("key", "value"):
            for prefix, length, into in (
                ("past_key_values", "past_length", cache_inputs),
                ("present", "total_length", cache_outputs),
            ):
                shape = ["batch", config.kv_heads, length, config.head_size]
                into.append(helper.make_tensor_value_info(f"{prefix}.{layer}.{part}", TensorProto.FLOAT, shape))
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total_length"]),
    ]
    inputs += _sight_signature(config)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, config.vocab_size])
    hidden = helper.make_tensor_value_info(_HIDDEN, TensorProto.FLOAT, ["batch", "length", config.hidden_size])
    return inputs + cache_inputs, [logits, hidden, *cache_outputs]


def _sight_signature(config: DecoderConfig) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a graph has because its decoder reads images."""
    value, sight, width = helper.make_tensor_value_info, config.sight, config.hidden_size
    inputs = []
    if config.sections:
        inputs.append(value(POSITIONS, TensorProto.INT64, [3, "batch", "length"]))
    if sight is not None:
        inputs.append(value(FEATURES, TensorProto.FLOAT, ["rows", width]))
        inputs.append(value(FEATURE_ROWS, TensorProto.INT64, ["batch", "length"]))
        if sight.deepstack:
            inputs.append(value(DEEPSTACK, TensorProto.FLOAT, [sight.deepstack, "rows", width]))
        if sight.mutual:
            shape = ["batch_or_one", 1, "length", "total_length"]
            inputs += [value(name, TensorProto.FLOAT, shape) for name in BIASES]
    return inputs
