"""Turn the EfficientNet-Lite0 checkpoint into an ONNX classifier.

Lite0 is EfficientNet-B0 without squeeze-and-excitation, with ReLU6 instead of swish, and with a stem and a head of
fixed width. Every batch normalisation comes after a convolution, and is folded into it.

Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from conversion.graph import GraphBuilder, float_value
from conversion.tensorflow_js import TO_CHANNELS_FIRST

SIDE = 224
CLASSES = 1000
EPSILON = 1e-3
"""Epsilon of the batch normalisations: the value that TensorFlow's EfficientNets were trained with."""

STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""(blocks, stride of the first block) of each stage; all other sizes follow from the weights."""

Weights = Mapping[str, npt.NDArray[np.float32]]


def build(weights: Weights, *, half: bool = True) -> onnx.ModelProto:
    """Return the classifier: `image` (N, 224, 224, 3), RGB 0..255 -> `probabilities` (N, 1000)."""
    graph = GraphBuilder(half=half)
    # 1. Pixels to about -1..1, channels first: (N, 3, 224, 224)
    x = graph.node("Sub", ["image", graph.constant(np.float32(127))])
    x = graph.node("Div", [x, graph.constant(np.float32(128))])
    x = graph.node("Transpose", [x], perm=TO_CHANNELS_FIRST)
    # 2. Stem, blocks, head: (N, channels, 7, 7)
    x = graph.relu6(normalised_convolution(graph, weights, x, "_conv_stem", "_bn0", stride=2))
    strides = [stride if first == 0 else 1 for blocks, stride in STAGES for first in range(blocks)]
    for number, stride in enumerate(strides):
        x = _block(graph, weights, x, f"_blocks.{number}", stride)
    x = graph.relu6(normalised_convolution(graph, weights, x, "_conv_head", "_bn1"))
    # 3. The mean over all places, then the classes: (N, channels), (N, 1000)
    x = graph.node("ReduceMean", [x, graph.constant([2, 3], np.int64)], keepdims=0)
    x = graph.node("Gemm", [x, graph.constant(weights["_fc.weight"]), graph.constant(weights["_fc.bias"])], transB=1)
    graph.node("Softmax", [x], "probabilities", axis=-1)
    return graph.model(
        "efficientnet-lite0",
        [float_value("image", "batch", SIDE, SIDE, 3)],
        [float_value("probabilities", "batch", CLASSES)],
    )


def _block(graph: GraphBuilder, weights: Weights, x: str, name: str, stride: int) -> str:
    """Add an inverted residual: more channels (not in the first block), a filter for each channel, fewer channels."""
    y = x
    if f"{name}._expand_conv.weight" in weights:
        y = graph.relu6(normalised_convolution(graph, weights, y, f"{name}._expand_conv", f"{name}._bn0"))
    depthwise = f"{name}._depthwise_conv"
    channels = weights[f"{depthwise}.weight"].shape[0]
    y = graph.relu6(
        normalised_convolution(graph, weights, y, depthwise, f"{name}._bn1", stride=stride, groups=channels)
    )
    y = normalised_convolution(graph, weights, y, f"{name}._project_conv", f"{name}._bn2")
    first = weights.get(f"{name}._expand_conv.weight")
    narrow = weights[f"{name}._project_conv.weight"].shape[0]
    residual = stride == 1 and first is not None and first.shape[1] == narrow
    return graph.node("Add", [x, y]) if residual else y


def normalised_convolution(
    graph: GraphBuilder, weights: Weights, x: str, name: str, norm: str, *, stride: int = 1, groups: int = 1
) -> str:
    """Add a convolution with its batch normalisation folded in."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + EPSILON)  # (O,)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    kernel = weights[f"{name}.weight"] * scale[:, None, None, None]  # (O, I / groups, H, W)
    return graph.convolution(x, kernel, bias, stride=stride, groups=groups)
