"""Write a decoder of the llama or qwen2 architecture as an ONNX graph.

The graph uses the fused operators of ONNX Runtime. Its inputs, outputs and KV cache are those that ONNX Runtime GenAI
expects of a `llama` model. In comments, the shapes of values are (batch, length, …), where length is the number of new
tokens and total length also counts the tokens in the KV cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from olpipe.convert.floats import Floats, FloatTensors, Order
from olpipe.convert.graph import CONTRIB, Graph, write_graph
from olpipe.convert.linear import Blocks, Linear
from olpipe.convert.llama import LlamaConfig
from olpipe.convert.weights import WeightFile
from olpipe.errors import ModelCorrupt

_FAR = np.iinfo(np.int64).max  # behind the end of any sequence
_HIDDEN = "hidden_states"
"""The graph's output for embeddings. It costs nothing in a forward that does not ask for it."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How finely to quantise.

    Attributes:
        layers: How the matrices of the layers are stored.
        embedding: How the embedding and the output projection are stored.
        fine_inputs: Whether to round the inputs of matrix products more finely. A product rounds its inputs to eight
            bits. With this, the inputs of the output projection count with sixteen bits, and normalised inputs are
            levelled first (see `_levels`).
    """

    layers: Blocks
    embedding: Blocks
    fine_inputs: bool


def write_decoder(
    source: FloatTensors, config: LlamaConfig, path: Path, precision: Precision, done: Callable[[], None]
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
        config: LlamaConfig,
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

    def graph(self) -> onnx.GraphProto:
        """Return the whole graph."""
        # 1. What all layers need.
        self._lengths()
        self._rotary_caches()
        # 2. The layers. Each block's result is added to the residual stream by the norm that follows the block.
        residual = self._embed()  # (batch, length, hidden_size), as all values between blocks
        pending = None  # what the block before adds to the residual stream
        for layer in range(self._config.layers):
            name = f"layers.{layer}"
            normed, residual = self._norm(f"{name}.attention.norm", f"blk.{layer}.attn_norm.weight", residual, pending)
            attended = self._attention(layer, normed)
            normed, residual = self._norm(
                f"{name}.feed_forward.norm", f"blk.{layer}.ffn_norm.weight", residual, attended
            )
            pending = self._feed_forward(layer, normed)
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

    def _rotary_caches(self) -> None:
        """Add the cosines and sines of the rotary positions, (context_length, head_size / 2) each."""
        # 1. The frequencies, (head_size / 2,), with the factors that some files have for them.
        config = self._config
        frequencies = config.rope_base ** -(np.arange(0, config.head_size, 2) / config.head_size)
        if self._source.has("rope_freqs.weight"):
            factors = self._vector("rope_freqs.weight")
            if not factors.all():
                raise ModelCorrupt(f"`{self._source.source.header.path}` divides rotary frequencies by zero")
            frequencies = frequencies / factors
        # 2. One row for each position.
        angles = np.outer(np.arange(config.context_length) / config.rope_scale, frequencies)
        self._weights.add("rotary.cosines", np.cos(angles).astype(np.float32))
        self._weights.add("rotary.sines", np.sin(angles).astype(np.float32))

    def _embed(self) -> str:
        """Look the tokens up in the quantised embedding; gives (batch, length, hidden_size).

        Where the embedding is the output projection, too, both operators read the same bytes in different shapes.
        """
        blocks, matrix = self._precision.embedding, self._embedding
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

    def _attention(self, layer: int, normed: str) -> str:
        """Write the attention block of a layer: (batch, length, hidden_size) in and out."""
        # 1. Queries, keys and values by one product: (batch, length, (heads + 2 * kv_heads) * head_size).
        config, name = self._config, f"layers.{layer}.attention"
        matrix = self._linear.matrix(
            f"{name}.qkv",
            [f"blk.{layer}.attn_{part}.weight" for part in "qkv"],
            self._precision.layers,
            [self._rotary_order(config.heads), self._rotary_order(config.kv_heads), None],
            factors=self._levels,
        )
        bias = ""
        if config.family.biases:
            values = np.concatenate([self._vector(f"blk.{layer}.attn_{part}.bias") for part in "qkv"])
            bias = self._weights.add(f"{name}.qkv.bias", values)
        packed = self._linear.multiply(normed, matrix, bias=bias)
        # 2. Rotation and attention: (batch, length, heads * head_size). The empty inputs are the keys and the values,
        #    which are packed with the queries.
        self._node(
            "GroupQueryAttention",
            [
                packed,
                "",
                "",
                f"past_key_values.{layer}.key",
                f"past_key_values.{layer}.value",
                "past_lengths",
                "total_length",
                "rotary.cosines",
                "rotary.sines",
            ],
            [f"{name}.output", f"present.{layer}.key", f"present.{layer}.value"],
            domain=CONTRIB,
            num_heads=config.heads,
            kv_num_heads=config.kv_heads,
            scale=config.head_size**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
        )
        # 3. Back to the width of the residual stream.
        matrix = self._linear.matrix(f"{name}.projection", [f"blk.{layer}.attn_output.weight"], self._precision.layers)
        return self._linear.multiply(f"{name}.output", matrix)

    def _feed_forward(self, layer: int, normed: str) -> str:
        """Write the feed-forward block of a layer: (batch, length, hidden_size) in and out."""
        name = f"layers.{layer}.feed_forward"
        gate, up, down = (
            self._linear.matrix(
                f"{name}.{part}",
                [f"blk.{layer}.ffn_{part}.weight"],
                self._precision.layers,
                factors=None if part == "down" else self._levels,
            )
            for part in ("gate", "up", "down")
        )
        # The operator computes x * sigmoid(alpha * x). With alpha 1 this is SiLU.
        opened = self._node(
            "QuickGelu", [self._linear.multiply(normed, gate)], [f"{name}.silu.output"], domain=CONTRIB, alpha=1.0
        )
        product = self._node("Mul", [opened, self._linear.multiply(normed, up)], [f"{name}.product.output"])
        return self._linear.multiply(product, down)

    def _rotary_order(self, heads: int) -> Order | None:
        """Return the order to put the rows of queries or keys in; None where the file has them in this order."""
        return _half_rotation(heads, self._config.head_size) if self._config.family.rotary_pairs else None

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


def _half_rotation(heads: int, head_size: int) -> Order:
    """Return the order to put the rows of queries or keys in, for files that keep rotary values in pairs.

    Such a file has the two values that rotate together next to each other. The operator expects first all first values
    of a head, then all second values. It knows the other order as well, but is slower with it.
    """
    return np.arange(heads * head_size).reshape(heads, head_size // 2, 2).swapaxes(1, 2).reshape(-1)


def _signature(config: LlamaConfig) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
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
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, config.vocab_size])
    hidden = helper.make_tensor_value_info(_HIDDEN, TensorProto.FLOAT, ["batch", "length", config.hidden_size])
    return inputs + cache_inputs, [logits, hidden, *cache_outputs]
