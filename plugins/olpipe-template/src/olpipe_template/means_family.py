"""A family of vision models with a very simple encoder: it sees the colours of an image, and hardly any shapes.

An image becomes a grid of at most 8 x 8 cells. One matrix turns the mean colour of each cell into the features of a
token. Such a model is a text model that has a token `<image>`, and a projector file with the matrix.

This module is imported by every command, so it imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors, layer_shapes
from olpipe.imaging.fitting import Resampling, resized
from olpipe.interfaces import Family, Fitted, Layout, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from olpipe.convert.weights import WeightFile

LAYER = "v.means"
"""The only layer. Its matrix is (width of the text model, 3), and it has a bias."""


class MeansFamily(Family):
    """Shows images as grids of colours."""

    name = "Means"
    version = "1"
    projectors = ("means",)
    image_text = placeholder = "<image>"
    usual_tokens = 64

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read how many cells a side of the grid has, and check that the layer is there and nothing else."""
        values, bias = VisionMetadata(metadata), f"{LAYER}.bias"
        config = VisionConfig(
            family=self.name,
            image_size=values.size("image_size", limit=64),
            patch_size=1,
            merge=1,
            layers=1,
            heads=0,
            width=3,
            inner_width=0,
            output_width=tensors.shape(bias)[0] if tensors.has(bias) else 0,
            epsilon=0.0,
            mean=values.colour("image_mean"),
            std=values.spread("image_std"),
        )
        check_tensors(tensors, layer_shapes(LAYER, config.output_width, 3), {}, family=self.name)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write a graph of one layer. Its input `colours` is (cells, 3) float32."""
        import numpy as np

        from olpipe.convert.graph import write_graph
        from olpipe.convert.towers.encoder import Encoder

        def build(weights: WeightFile) -> onnx.GraphProto:
            encoder = Encoder(tensors, config, weights, eight_bits=eight_bits, done=done)
            encoder.multiply("colours", LAYER, exact=True, output="features")
            inputs = {"colours": (np.float32, ["cells", 3])}
            return encoder.finished(inputs, {"features": ["cells", config.output_width]})

        write_graph(path, build)

    def fit(self, config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
        """Choose a grid that is square unless the image is very small. A cell is a pixel of the image to resize to."""
        side = min(config.image_size, math.isqrt(max(1, tokens)))
        columns, rows = min(side, width), min(side, height)
        return Fitted(columns, rows, columns=1, rows=1, tokens=columns * rows)

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the mean colour of each cell, row by row, (cells, 3)."""
        import numpy as np

        cells = resized(pixels, fitted.width, fitted.height, Resampling.BILINEAR).reshape(-1, 3)
        return {"colours": ((cells / 255 - config.mean) / config.std).astype(np.float32)}

    def layout(self, config: VisionConfig, fitted: Fitted) -> Layout:
        """Return the placeholders. No marks stand around them."""
        return Layout("", (fitted.tokens,), "")
