"""Write CLIP vision encoders as ONNX graphs, with the projector of LLaVA.

In comments, the shapes of values are (tiles, patches, width) unless they say something else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from olpipe.convert.graph import write_graph
from olpipe.convert.towers.encoder import Activation
from olpipe.convert.towers.tiles import TileEncoder
from olpipe.interfaces.vision import VisionConfig, VisionTensors

ACTIVATIONS = {"quick_gelu": Activation.QUICK_GELU, "gelu": Activation.GELU}
"""The activations that CLIP encoders are known to have, by the names in `VisionConfig.activation`."""

_FAR = np.iinfo(np.int64).max  # behind the last patch


def write_llava(
    tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
) -> None:
    """Write the vision encoder of a LLaVA, as `Family.write` describes."""
    write_graph(path, lambda weights: _Writer(tensors, config, weights, eight_bits=eight_bits, done=done).projected())


class _Writer(TileEncoder):
    """Appends the nodes of a graph in the order of the data flow."""

    def projected(self) -> onnx.GraphProto:
        """Return the whole graph."""
        # 1. The blocks. A token for the whole tile stands in front of the patches, and so has the first place.
        config, node, constant = self.config, self.graph.node, self.graph.constant
        hidden = self.norm(self.placed(self._with_class(self.patches())), "v.pre_ln")
        for layer in range(config.layers):
            hidden = self.block(hidden, f"v.blk.{layer}", ACTIVATIONS[config.activation])
        # 2. The features of the patches only.
        span = [constant("second", np.array([1])), constant("end", np.array([_FAR])), constant("axis", np.array([1]))]
        patches = node("Slice", [hidden, *span], ["patches.output"])
        rows = self.reshape(patches, (-1, config.width), "mm.input")  # (tiles * patches, width)
        # 3. The projector.
        opened = self.activate(self.multiply(rows, "mm.0", exact=True), Activation.GELU, "mm.gelu.output")
        self.multiply(opened, "mm.2", exact=True, output="features")
        return self.whole()

    def _with_class(self, patches: str) -> str:
        """Put the token for the whole tile in front of the patches; gives (tiles, 1 + patches, width)."""
        node, constant = self.graph.node, self.graph.constant
        token = self.stored("v.class_embd", self.source.vector("v.class_embd").reshape(1, 1, -1))
        tiles = node("Shape", [patches], ["tiles.count"], start=0, end=1)
        one = constant("ones", np.array([1, 1]))
        shape = node("Concat", [tiles, one], ["tiles.shape"], axis=0)  # (tiles, 1, 1)
        tokens = node("Expand", [token, shape], ["v.class_embd.output"])  # (tiles, 1, width)
        return node("Concat", [tokens, patches], ["v.class_embd.patches"], axis=1)
