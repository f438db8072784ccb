"""Write the decoder of a llama, or of a near relative, as an ONNX graph of ONNX Runtime's fused operators.

Inputs, outputs and the key/value cache are those that ONNX Runtime GenAI expects of a `llama` model.

A four-bit weight is (code - 8) * scale + offset with a scale and an offset for every block of a row. The operator
that multiplies fast knows no such offsets, and needs none: what they add to a product is a much smaller product of
their own, of the blocks' offsets with the sums of the blocks' inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from olpipe.convert.architectures import LAST_LOGITS
from olpipe.convert.floats import Floats, FloatTensors, Order
from olpipe.convert.llama import LlamaConfig
from olpipe.convert.quantize import BLOCK_SIZE, Quantised, quantize
from olpipe.convert.weights import WeightFile

_OPSET = 21
_IR_VERSION = 10
_CONTRIB = "com.microsoft"
_FAR = np.iinfo(np.int64).max
_FAST_INT8 = 4  # MatMulNBits' accuracy level: activations are quantised to int8


@dataclass(frozen=True, slots=True)
class Precision:
    """Bits of the quantised weights: of the layers, and of embedding and output projection."""

    layers: int
    vocabulary: int


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
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)],
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
        self._nodes: list[onnx.NodeProto] = []
        self._with_offsets: set[str] = set()
        self._sums: dict[str, str] = {}

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
        normed, _ = self._norm("norm", "output_norm.weight", residual, pending)
        self._project(normed)
        inputs, outputs = _signature(self._config)
        return helper.make_graph(self._nodes, self._config.architecture, inputs, outputs, self._weights.initializers)

    def _node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        name = outputs[0].removesuffix(".output")
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def _lengths(self) -> None:
        """Derive what the attention operator wants to know from the attention mask, (batch, total length)."""
        add = self._weights.add
        axis, one = add("constants.axis", np.array([1])), add("constants.one", np.array([1]))
        summed = self._node("ReduceSum", ["attention_mask", axis], ["mask.sum"], keepdims=0)
        self._node("Cast", [self._node("Sub", [summed, one], ["mask.last"])], ["past_lengths"], to=TensorProto.INT32)
        shape = self._node("Shape", ["attention_mask"], ["mask.length"], start=1, end=2)
        scalar = self._node("Squeeze", [shape], ["mask.length.scalar"])
        self._node("Cast", [scalar], ["total_length"], to=TensorProto.INT32)

    def _rotary_caches(self) -> None:
        config = self._config
        frequencies = config.rope_base ** -(np.arange(0, config.head_size, 2) / config.head_size)
        if self._source.has("rope_freqs.weight"):
            frequencies = frequencies / self._vector("rope_freqs.weight")
        angles = np.outer(np.arange(config.context_length) / config.rope_scale, frequencies)
        self._weights.add("rotary.cosines", np.cos(angles).astype(np.float32))
        self._weights.add("rotary.sines", np.sin(angles).astype(np.float32))

    def _embed(self) -> str:
        """Look tokens up in the quantised embedding, which is the output projection too where they are tied."""
        config = self._config
        self._matrix("embedding", ["token_embd.weight"], self._precision.vocabulary)
        flat = (config.vocabulary, config.hidden_size * self._precision.vocabulary // 8)
        codes = self._weights.alias("embedding.rows", "embedding.codes", flat)
        return self._node(
            "GatherBlockQuantized",
            [codes, "input_ids", "embedding.scales"],
            ["embedding.output"],
            domain=_CONTRIB,
            bits=self._precision.vocabulary,
            block_size=BLOCK_SIZE,
            gather_axis=0,
            quantize_axis=1,
        )

    def _project(self, normed: str) -> None:
        """Give logits for the last two tokens only: those of a prompt or of forced tokens are never asked for.

        The last one's go by the name that the runtime looks for, where it takes one row or as many as there were
        tokens, never two. Both go by a name of our own: who drafts a token verifies it with the row before.
        """
        config, add = self._config, self._weights.add
        start, end, axis = (
            add("constants.start", np.array([-2])),
            add("constants.end", np.array([_FAR])),
            "constants.axis",
        )
        normed = self._node("Slice", [normed, start, end, axis], ["last.output"])
        weight = "embedding"
        if not config.tied_embeddings:
            weight = self._matrix("output", ["output.weight"], self._precision.vocabulary)
        shape = (config.hidden_size, config.vocabulary)
        rows = self._multiply(normed, weight, shape, self._precision.vocabulary, output=LAST_LOGITS)
        self._node("Gather", [rows, add("constants.last", np.array([-1]))], ["logits"], axis=1)

    def _norm(self, name: str, tensor: str, residual: str, added: str | None) -> tuple[str, str]:
        """Add to the residual stream and normalise it; returns both."""
        weight = self._weights.add(f"{name}.weight", self._vector(tensor))
        epsilon = self._config.epsilon
        if added is None:
            inputs, output = [residual, weight], f"{name}.output"
            self._node("SimplifiedLayerNormalization", inputs, [output], axis=-1, epsilon=epsilon, stash_type=1)
            return output, residual
        total = f"{name}.residual"
        self._node(
            "SkipSimplifiedLayerNormalization",
            [residual, added, weight],
            [f"{name}.output", "", "", total],
            domain=_CONTRIB,
            epsilon=epsilon,
        )
        return f"{name}.output", total

    def _attention(self, layer: int, normed: str) -> str:
        config, name = self._config, f"layers.{layer}.attention"
        inner = config.heads * config.head_size
        width = inner + 2 * config.kv_heads * config.head_size
        weight = self._matrix(
            f"{name}.qkv",
            [f"blk.{layer}.attn_{part}.weight" for part in "qkv"],
            self._precision.layers,
            [self._rotary_order(config.heads), self._rotary_order(config.kv_heads), None],
        )
        bias = ""
        if config.family.biases:
            values = np.concatenate([self._vector(f"blk.{layer}.attn_{part}.bias") for part in "qkv"])
            bias = self._weights.add(f"{name}.qkv.bias", values)
        packed = self._multiply(normed, weight, (config.hidden_size, width), self._precision.layers, bias=bias)
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
            domain=_CONTRIB,
            num_heads=config.heads,
            kv_num_heads=config.kv_heads,
            scale=config.head_size**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
        )
        weight = self._matrix(f"{name}.projection", [f"blk.{layer}.attn_output.weight"], self._precision.layers)
        return self._multiply(f"{name}.output", weight, (inner, config.hidden_size), self._precision.layers)

    def _feed_forward(self, layer: int, normed: str) -> str:
        config, name, bits = self._config, f"layers.{layer}.feed_forward", self._precision.layers
        outward = (config.hidden_size, config.feed_forward_size)
        gate = self._matrix(f"{name}.gate", [f"blk.{layer}.ffn_gate.weight"], bits)
        up = self._matrix(f"{name}.up", [f"blk.{layer}.ffn_up.weight"], bits)
        down = self._matrix(f"{name}.down", [f"blk.{layer}.ffn_down.weight"], bits)
        gate = self._multiply(normed, gate, outward, bits)
        # x * sigmoid(alpha * x) with alpha 1 is SiLU.
        gate = self._node("QuickGelu", [gate], [f"{name}.silu.output"], domain=_CONTRIB, alpha=1.0)
        product = self._node("Mul", [gate, self._multiply(normed, up, outward, bits)], [f"{name}.product.output"])
        return self._multiply(product, down, outward[::-1], bits)

    def _rotary_order(self, heads: int) -> Order | None:
        return _half_rotation(heads, self._config.head_size) if self._config.family.rotary_pairs else None

    def _multiply(
        self, values: str, weight: str, shape: tuple[int, int], bits: int, *, bias: str = "", output: str = ""
    ) -> str:
        output = output or f"{weight}.output"
        offsets = weight in self._with_offsets
        inputs = [values, f"{weight}.codes", f"{weight}.scales", *(["", "", bias] if bias else [])]
        self._node(
            "MatMulNBits",
            inputs,
            [f"{weight}.product.output" if offsets else output],
            domain=_CONTRIB,
            K=shape[0],
            N=shape[1],
            bits=bits,
            block_size=BLOCK_SIZE,
            accuracy_level=_FAST_INT8,
        )
        if offsets:
            shift = self._node("MatMul", [self._block_sums(values, shape[0]), f"{weight}.offsets"], [f"{weight}.shift"])
            self._node("Add", [f"{weight}.product.output", shift], [output])
        return output

    def _block_sums(self, values: str, width: int) -> str:
        """Sum each block's values, which is all that the blocks' offsets are multiplied with."""
        if values not in self._sums:
            summing = f"constants.summing.{width}"
            if summing not in self._weights:
                self._weights.add(summing, np.kron(np.eye(width // BLOCK_SIZE), np.ones((BLOCK_SIZE, 1))).astype("f4"))
            name = values.removesuffix(".output")
            self._sums[values] = self._node("MatMul", [values, summing], [f"{name}.sums"])
        return self._sums[values]

    def _matrix(self, name: str, tensors: Sequence[str], bits: int, orders: Sequence[Order | None] = (None,)) -> str:
        """Quantise tensors, one under the other, and write their codes, scales and offsets; returns `name`."""
        shapes = [self._source.shape(tensor) for tensor in tensors]
        rows, blocks = sum(shape[0] for shape in shapes), shapes[0][1] // BLOCK_SIZE
        parts: list[Quantised] = []

        def codes() -> Iterator[npt.NDArray[np.uint8]]:
            for tensor, order in zip(tensors, orders, strict=True):
                for values in self._source.rows(tensor, order):
                    part = quantize(values, bits)
                    parts.append(part._replace(codes=part.codes[:0]))
                    yield part.codes
                self._done()

        self._weights.stream(f"{name}.codes", np.uint8, (rows, blocks, BLOCK_SIZE * bits // 8), codes())
        self._weights.add(f"{name}.scales", np.concatenate([part.scales for part in parts]))
        offsets = np.concatenate([part.offsets for part in parts])
        if offsets.any():
            self._with_offsets.add(name)
            self._weights.add(f"{name}.offsets", np.ascontiguousarray(offsets.T))
        return name

    def _vector(self, tensor: str) -> Floats:
        values = self._source.vector(tensor)
        self._done()
        return values


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
    logits = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", rows, config.vocabulary])
        for name, rows in (("logits", 1), (LAST_LOGITS, "rows"))
    ]
    return inputs + cache_inputs, logits + cache_outputs
