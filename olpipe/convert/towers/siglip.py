"""Write SigLIP vision encoders as ONNX graphs, with the projector of Idefics3 or of Gemma 3.

In comments, the shapes of values are (tiles, patches, width) unless they say something else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from olpipe.convert.graph import write_graph
from olpipe.convert.towers.encoder import Activation
from olpipe.convert.towers.tiles import TileEncoder
from olpipe.interfaces.vision import VisionConfig, VisionTensors


def write_idefics3(
    tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
) -> None:
    """Write the vision encoder of an Idefics3 or a SmolVLM, as `Family.write` describes."""
    write_graph(path, lambda weights: _Writer(tensors, config, weights, eight_bits=eight_bits, done=done).shuffled())


def write_gemma3(
    tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
) -> None:
    """Write the vision encoder of a Gemma 3, as `Family.write` describes."""
    write_graph(path, lambda weights: _Writer(tensors, config, weights, eight_bits=eight_bits, done=done).pooled())


class _Writer(TileEncoder):
    """Appends the nodes of a graph in the order of the data flow."""

    def shuffled(self) -> onnx.GraphProto:
        """Return the graph of an Idefics3: the patches of a token are put behind each other and projected.

        A token stands for a square of patches. Its values are those of its patches, row by row.
        """
        config, tokens = self.config, self.side // self.config.merge
        hidden = self._encoded()
        # (tiles, rows of tokens, rows of patches of a token, tokens of a row, patches side by side with their width)
        apart = self.reshape(hidden, (-1, tokens, config.merge, tokens, config.merge * config.width), "shuffle.apart")
        ordered = self.graph.node("Transpose", [apart], ["shuffle.ordered"], perm=[0, 1, 3, 2, 4])
        rows = self.reshape(ordered, (-1, config.merge**2 * config.width), "shuffle.output")  # (tiles * tokens, …)
        self.multiply(rows, "mm.model.fc", exact=True, output="features")
        return self.whole()

    def pooled(self) -> onnx.GraphProto:
        """Return the graph of a Gemma 3: the mean over the patches of a token is normalised and projected.

        A token stands for a square of patches.
        """
        config, side, node = self.config, self.side, self.graph.node
        hidden = self._encoded()
        columns = node("Transpose", [hidden], ["pool.columns"], perm=[0, 2, 1])  # (tiles, width, patches)
        square = self.reshape(columns, (0, 0, side, side), "pool.square")
        kernel = [config.merge, config.merge]
        means = node("AveragePool", [square], ["pool.means"], kernel_shape=kernel, strides=kernel)
        tokens = node("Transpose", [means], ["pool.tokens"], perm=[0, 2, 3, 1])  # (tiles, rows, columns, width)
        rows = self.reshape(tokens, (-1, config.width), "pool.output")  # (tiles * tokens, width)
        normed = self.norm(rows, "mm.soft_emb_norm")
        name = "mm.input_projection"
        projection = self.stored(name, self.source.array(f"{name}.weight"))  # (width, output width)
        node("MatMul", [normed, projection], ["features"])
        return self.whole()

    def _encoded(self) -> str:
        """Write all blocks and the norm behind them; gives (tiles, patches, width)."""
        hidden = self.placed(self.patches())
        for layer in range(self.config.layers):
            hidden = self.block(hidden, f"v.blk.{layer}", Activation.TANH_GELU)
        return self.norm(hidden, "v.post_ln")
