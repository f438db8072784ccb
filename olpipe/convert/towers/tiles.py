"""Write the parts that the vision encoders for square tiles share.

Their graphs take `pixels`, (tiles, 3, image size, image size) float32. Their output `features` is (tiles * tokens,
output width) float32.
"""

from __future__ import annotations

import numpy as np
import onnx

from olpipe.convert.architectures import TILES
from olpipe.convert.towers.encoder import Encoder

_PATCHES = "v.patch_embd"


class TileEncoder(Encoder):
    """Appends the nodes of a vision encoder for square tiles. All tiles have the size that it was made for."""

    @property
    def side(self) -> int:
        """How many patches are beside each other."""
        return self.config.image_size // self.config.patch_size

    def patches(self) -> str:
        """Cut the tiles into patches and embed them; gives (tiles, patches, width), row by row."""
        name, patch = _PATCHES, self.config.patch_size
        inputs = ["pixels", self.stored(f"{name}.weight", self.source.array(f"{name}.weight"))]
        if self.source.has(f"{name}.bias"):
            inputs.append(self.vector(f"{name}.bias"))
        cut = self.graph.node(
            "Conv", inputs, [f"{name}.output"], kernel_shape=[patch, patch], strides=[patch, patch]
        )  # (tiles, width, side, side)
        rows = self.reshape(cut, (0, 0, -1), f"{name}.columns")  # (tiles, width, patches)
        return self.graph.node("Transpose", [rows], [f"{name}.rows"], perm=[0, 2, 1])

    def placed(self, embedded: str) -> str:
        """Add to each embedded patch what its place in the tile stands for; (tiles, patches, width) in and out."""
        places = self.stored("v.position_embd", self.source.array("v.position_embd.weight"))  # (patches, width)
        return self.add(embedded, places, "v.position_embd.output")

    def whole(self) -> onnx.GraphProto:
        """Return the graph."""
        size = self.config.image_size
        return self.finished(
            {"pixels": (np.float32, [TILES, 3, size, size])}, {"features": ["rows", self.config.output_width]}
        )
