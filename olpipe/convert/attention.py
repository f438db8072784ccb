"""Write the attention of a decoder: its rotary positions, and the attention block of each layer.

In comments, the shapes of values are (batch, length, …), as in `olpipe.convert.decoder`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from olpipe.convert.architectures import BIASES, POSITIONS
from olpipe.convert.decoder_config import DecoderConfig
from olpipe.convert.floats import Floats, FloatTensors, Order
from olpipe.convert.graph import CONTRIB, Graph
from olpipe.convert.linear import Blocks, Linear
from olpipe.errors import ModelCorrupt


class Attention:
    """Writes the attention blocks of one decoder."""

    def __init__(
        self,
        graph: Graph,
        linear: Linear,
        source: FloatTensors,
        config: DecoderConfig,
        *,
        blocks: Blocks | None,
        levels: Floats | None,
        vector: Callable[[str], Floats],
    ) -> None:
        """Set up for one decoder.

        Args:
            graph: Where nodes go.
            linear: What writes matrices.
            source: The weights.
            config: The sizes of the decoder.
            blocks: How matrices are quantised; None keeps them as float32.
            levels: What the columns of matrices that take normalised values are multiplied by; None for nothing.
            vector: Reads a vector, and counts it as done.
        """
        self._graph = graph
        self._node = graph.node
        self._linear = linear
        self._source = source
        self._config = config
        self._blocks = blocks
        self._levels = levels
        self._vector = vector

    def rotary_tables(self) -> None:
        """Add the cosines and sines of the rotary positions, (context_length, head_size / 2) each.

        Layers that attend to a window have tables of their own, if the architecture says so.
        """
        config = self._config
        exponents = np.arange(0, config.head_size, 2) / config.head_size
        frequencies = config.rope_base**-exponents / self._rotary_factors()
        self._add_tables("rotary", frequencies / config.rope_scale)
        if config.kind.global_every:
            self._add_tables("rotary.local", config.local_rope_base**-exponents)

    def _rotary_factors(self) -> Floats | np.float32:
        """Return what frequencies are divided by, (head_size / 2,): some files have such factors."""
        for name in ("rope_freqs.weight", "rope_factors_short.weight"):
            if self._source.has(name):
                factors = self._vector(name)
                if not factors.all():
                    raise ModelCorrupt(f"`{self._source.source.header.path}` divides rotary frequencies by zero")
                return factors
        return np.float32(1)

    def _add_tables(self, name: str, frequencies: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        """Add one row for each position to the tables of a name."""
        angles = np.outer(np.arange(self._config.context_length), frequencies)
        factor = self._config.rope_factor
        self._graph.weights.add(f"{name}.cosines", (np.cos(angles) * factor).astype(np.float32))
        self._graph.weights.add(f"{name}.sines", (np.sin(angles) * factor).astype(np.float32))

    def block(self, layer: int, normed: str) -> str:
        """Write the attention block of a layer: (batch, length, hidden_size) in and out."""
        # 1. Queries, keys and values by one product: (batch, length, (heads + 2 * kv_heads) * head_size).
        config, name = self._config, f"layers.{layer}.attention"
        packed = self._packed(layer, normed)
        # 2. They stay together, unless something has to be done to queries and keys before they are rotated.
        inputs = [packed, "", ""]
        if config.kind.head_norms or config.sections:
            inputs = self._apart(layer, packed)
        # 3. Rotation and attention: (batch, length, heads * head_size).
        self._attend(layer, inputs)
        # 4. Back to the width of the residual stream.
        matrix = self._linear.matrix(f"{name}.projection", [f"blk.{layer}.attn_output.weight"], self._blocks)
        return self._linear.multiply(f"{name}.output", matrix)

    def _packed(self, layer: int, normed: str) -> str:
        """Compute queries, keys and values, one behind the other."""
        config, name = self._config, f"layers.{layer}.attention.qkv"
        tensors = [f"blk.{layer}.attn_{part}.weight" for part in "qkv"]
        orders = [self._rotary_order(config.heads), self._rotary_order(config.kv_heads), None]
        if config.kind.fused:
            tensors, orders = [f"blk.{layer}.attn_qkv.weight"], [None]
        matrix = self._linear.matrix(name, tensors, self._blocks, orders, factors=self._levels)
        bias = ""
        if config.kind.biases:
            values = np.concatenate([self._vector(f"blk.{layer}.attn_{part}.bias") for part in "qkv"])
            bias = self._graph.weights.add(f"{name}.bias", values)
        return self._linear.multiply(normed, matrix, bias=bias)

    def _rotary_order(self, heads: int) -> Order | None:
        """Return the order to put the rows of queries or keys in; None where the file has them in this order."""
        return _half_rotation(heads, self._config.head_size) if self._config.kind.rotary_pairs else None

    def _apart(self, layer: int, packed: str) -> list[str]:
        """Part queries, keys and values; queries and keys are normalised, and rotated where positions have axes."""
        config, name = self._config, f"layers.{layer}.attention"
        widths = np.array([config.heads, config.kv_heads, config.kv_heads]) * config.head_size
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        self._node("Split", [packed, self._graph.constant("qkv.widths", widths)], parts, axis=2)
        for at, (part, heads) in enumerate((("q", config.heads), ("k", config.kv_heads))):
            if config.kind.head_norms:
                parts[at] = self._head_norm(f"blk.{layer}.attn_{part}_norm.weight", parts[at], heads)
            if config.sections:
                parts[at] = self._node(
                    "MRotaryEmbedding",
                    [parts[at], POSITIONS, "rotary.cosines", "rotary.sines"],
                    [f"{parts[at].removesuffix('.output')}.rotated"],
                    domain=CONTRIB,
                    mrope_section=config.sections,
                    mrope_layout=int(config.kind.axes == "interleaved"),
                    num_heads=heads,
                    rotary_embedding_dim=config.head_size,
                )
        return parts

    def _head_norm(self, tensor: str, values: str, heads: int) -> str:
        """Normalise each head of queries or keys, (batch, length, heads * head_size)."""
        constant, size = self._graph.constant, self._config.head_size
        weight = self._graph.weights.add(f"{values}.norm.weight", self._vector(tensor))
        by_head = constant(f"heads.{heads}", np.array([0, 0, heads, size]))
        apart = self._node("Reshape", [values, by_head], [f"{values}.heads"])
        normed = self._node(
            "SimplifiedLayerNormalization",
            [apart, weight],
            [f"{values}.normed"],
            axis=-1,
            epsilon=self._config.epsilon,
            stash_type=1,
        )
        joined = constant(f"joined.{heads}", np.array([0, 0, heads * size]))
        return self._node("Reshape", [normed, joined], [f"{values}.joined"])

    def _attend(self, layer: int, inputs: list[str]) -> None:
        """Attend to all tokens so far, or to those that the layer's window or the input of biases allows."""
        config, name, local = self._config, f"layers.{layer}.attention", self._config.is_local(layer)
        tables = "rotary.local" if config.kind.global_every and _is_local_kind(config, layer) else "rotary"
        rotated = bool(config.sections)  # they were rotated before
        mutual = config.sight is not None and config.sight.mutual
        inputs = [
            *inputs,
            f"past_key_values.{layer}.key",
            f"past_key_values.{layer}.value",
            "past_lengths",
            "total_length",
            *(() if rotated else (f"{tables}.cosines", f"{tables}.sines")),
            *(("", BIASES[not local]) if mutual else ()),
        ]
        window = {"local_window_size": config.window} if local and not mutual else {}
        self._node(
            "GroupQueryAttention",
            inputs,
            [f"{name}.output", f"present.{layer}.key", f"present.{layer}.value"],
            domain=CONTRIB,
            num_heads=config.heads,
            kv_num_heads=config.kv_heads,
            scale=config.attention_scale,
            do_rotary=int(not rotated),
            rotary_interleaved=0,
            **window,
            **({"causal": 0} if mutual else {}),
        )


def _is_local_kind(config: DecoderConfig, layer: int) -> bool:
    """Say whether a layer rotates as layers with a window do. The window itself may be wider than the context."""
    return (layer + 1) % config.kind.global_every != 0


def _half_rotation(heads: int, head_size: int) -> Order:
    """Return the order to put the rows of queries or keys in, for files that keep rotary values in pairs.

    Such a file has the two values that rotate together next to each other. The operator expects first all first values
    of a head, then all second values. It knows the other order as well, but is slower with it.
    """
    return np.arange(heads * head_size).reshape(heads, head_size // 2, 2).swapaxes(1, 2).reshape(-1)
