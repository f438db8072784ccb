"""Write the decoder of a llama, or of a near relative, as an ONNX graph of ONNX Runtime's fused operators.

Inputs, outputs and the key/value cache are those that ONNX Runtime GenAI expects of a `llama` model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from olpipe.convert.floats import Floats, FloatTensors, Order
from olpipe.convert.linear import CONTRIB, Blocks, Graph, Linear
from olpipe.convert.llama import LlamaConfig
from olpipe.convert.weights import WeightFile
from olpipe.errors import ModelCorrupt

_OPSET = 21
_IR_VERSION = 10
_FAR = np.iinfo(np.int64).max
_HIDDEN = "hidden_states"
"""The graph's output for embeddings. A forward that binds no memory to it does nothing for it."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How finely to quantise.

    Attributes:
        layers: The layers' matrices.
        embedding: Embedding and output projection.
        fine_inputs: Whether to spend more on what products round to eight bits, their inputs: those of the output
            projection count with sixteen, and normalised ones are levelled first.
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
        config: Their sizes, as `read_config` checked them.
        path: The `.onnx` file to write.
        precision: How finely to quantise.
        done: Called after every tensor.
    """
    with WeightFile(path.with_name(path.name + ".data")) as weights:
        writer = _Writer(source, config, weights, precision, done)
        graph = writer.graph()
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(CONTRIB, 1)],
        ir_version=_IR_VERSION,
        producer_name="olpipe",
    )
    path.write_bytes(model.SerializeToString())


class _Writer:
    """Appends nodes in the order of the data flow; node outputs are named after what they hold."""

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
        self._lengths()
        self._rotary_caches()
        residual = self._embed()
        pending = None  # what the last block adds to the residual stream
        for layer in range(self._config.layers):
            name = f"layers.{layer}"
            normed, residual = self._norm(f"{name}.attention.norm", f"blk.{layer}.attn_norm.weight", residual, pending)
            attended = self._attention(layer, normed)
            normed, residual = self._norm(
                f"{name}.feed_forward.norm", f"blk.{layer}.ffn_norm.weight", residual, attended
            )
            pending = self._feed_forward(layer, normed)
        normed, _ = self._norm("norm", "output_norm.weight", residual, pending, output=_HIDDEN)
        self._project(normed)
        inputs, outputs = _signature(self._config)
        return helper.make_graph(
            self._graph.nodes, self._config.architecture, inputs, outputs, self._weights.initializers
        )

    def _lengths(self) -> None:
        """Derive what the attention operator wants to know from the attention mask, (batch, total length)."""
        axis = self._graph.constant("axis", np.array([1]))
        summed = self._node("ReduceSum", ["attention_mask", axis], ["mask.sum"], keepdims=0)
        self._node("Cast", [self._node("Sub", [summed, axis], ["mask.last"])], ["past_lengths"], to=TensorProto.INT32)
        shape = self._node("Shape", ["attention_mask"], ["mask.length"], start=1, end=2)
        scalar = self._node("Squeeze", [shape], ["mask.length.scalar"])
        self._node("Cast", [scalar], ["total_length"], to=TensorProto.INT32)

    def _rotary_caches(self) -> None:
        config = self._config
        frequencies = config.rope_base ** -(np.arange(0, config.head_size, 2) / config.head_size)
        if self._source.has("rope_freqs.weight"):
            factors = self._vector("rope_freqs.weight")
            if not factors.all():
                raise ModelCorrupt(f"`{self._source.source.header.path}` divides rotary frequencies by zero")
            frequencies = frequencies / factors
        angles = np.outer(np.arange(config.context_length) / config.rope_scale, frequencies)
        self._weights.add("rotary.cosines", np.cos(angles).astype(np.float32))
        self._weights.add("rotary.sines", np.sin(angles).astype(np.float32))

    def _embed(self) -> str:
        """Look tokens up in the quantised embedding, which is the output projection too where they are tied."""
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
        """Give logits for the last token only: those of a prompt or of forced tokens are never asked for."""
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
        """Add to the residual stream and normalise it; returns what was normalised, called `output`, and the stream."""
        output = output or f"{name}.output"
        values = self._vector(tensor)
        if self._levels is not None and tensor.startswith("blk."):
            values = values / self._levels
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
        matrix = self._linear.matrix(f"{name}.projection", [f"blk.{layer}.attn_output.weight"], self._precision.layers)
        return self._linear.multiply(f"{name}.output", matrix)

    def _feed_forward(self, layer: int, normed: str) -> str:
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
        # x * sigmoid(alpha * x) with alpha 1 is SiLU.
        opened = self._node(
            "QuickGelu", [self._linear.multiply(normed, gate)], [f"{name}.silu.output"], domain=CONTRIB, alpha=1.0
        )
        product = self._node("Mul", [opened, self._linear.multiply(normed, up)], [f"{name}.product.output"])
        return self._linear.multiply(product, down)

    def _rotary_order(self, heads: int) -> Order | None:
        return _half_rotation(heads, self._config.head_size) if self._config.family.rotary_pairs else None

    def _vector(self, tensor: str) -> Floats:
        values = self._source.vector(tensor)
        self._done()
        return values


def _levels(source: FloatTensors) -> Floats:
    """Return what to divide the normalised values of layers by, and multiply the matrices behind them by.

    A few channels of the residual stream are many times larger than the rest, and a block of inputs is rounded in steps
    of its largest. The embedding shows which ones they are. Half way to a common size, the root, costs the weights
    little; channels below the median stay, for what the embedding hardly uses the layers may.
    """
    sizes = source.column_sizes("token_embd.weight")
    least = max(np.median(sizes), sizes.max() / 100, np.finfo(np.float32).tiny)
    levels: Floats = np.sqrt(sizes.clip(least) / least)
    return levels


def _half_rotation(heads: int, head_size: int) -> Order:
    """Return the row order that undoes GGUF's pairing of rotary values.

    GGUF files keep the two values that rotate together next to each other; the operator expects the second
    ones after all first ones, which is also its faster form.
    """
    return np.arange(heads * head_size).reshape(heads, head_size // 2, 2).swapaxes(1, 2).reshape(-1)


def _signature(config: LlamaConfig) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
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
