"""Read a TensorFlow.js graph model and translate the operations that convolutional networks use.

A graph model is a JSON file (the nodes, and where each weight lies) beside one or more files of raw weights. Images are
(N, H, W, C) in TensorFlow and (N, C, H, W) in ONNX. So every translated convolution has a Transpose node before it and
one after it. ONNX Runtime removes two that follow each other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.graph import GraphBuilder

TO_CHANNELS_FIRST = [0, 3, 1, 2]
TO_CHANNELS_LAST = [0, 2, 3, 1]


@dataclass(frozen=True)
class Node:
    """One operation of the TensorFlow graph."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]

    def ints(self, key: str) -> list[int]:
        """Return a list of integers. In JSON they are texts."""
        return [int(value) for value in self.attributes[key]["list"]["i"]]

    def flag(self, key: str) -> bool:
        """Return a switch, off when absent."""
        return bool(self.attributes.get(key, {}).get("b", False))

    def text(self, key: str) -> str:
        """Return a text. In JSON it is written in base64."""
        return base64.b64decode(self.attributes[key]["s"]).decode()

    def texts(self, key: str) -> list[str]:
        """Return a list of texts, empty when absent."""
        return [base64.b64decode(value).decode() for value in self.attributes.get(key, {}).get("list", {}).get("s", [])]


@dataclass(frozen=True)
class GraphModel:
    """Nodes by name, and constants by name."""

    nodes: dict[str, Node]
    weights: dict[str, npt.NDArray[Any]]


def read(path: Path) -> GraphModel:
    """Read `model.json` and the weight files it names, which must lie beside it.

    Raises:
        ValueError: The weight files are longer or shorter than the manifest says.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    weights: dict[str, npt.NDArray[Any]] = {}
    for group in document["weightsManifest"]:
        data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            weights[entry["name"]] = values.astype(entry["dtype"])
            offset += count * stored.itemsize
        if offset != len(data):
            raise ValueError(f"the weights take {offset} bytes, their files hold {len(data)}")
    nodes = {}
    for raw in document["modelTopology"]["node"]:
        inputs = tuple(name for name in raw.get("input", ()) if not name.startswith("^"))
        nodes[raw["name"]] = Node(raw["name"], raw["op"], inputs, raw.get("attr", {}))
    return GraphModel(nodes, weights)


class Translator:
    """Adds to an ONNX graph what is needed to compute a TensorFlow node."""

    def __init__(self, model: GraphModel, graph: GraphBuilder, inputs: dict[str, str]) -> None:
        """Make a translator that has translated nothing yet.

        Args:
            model: The model to translate.
            graph: Where the translated nodes go.
            inputs: ONNX names of the values that take the place of TensorFlow's placeholders.
        """
        self._model = model
        self._graph = graph
        self._done = dict(inputs)
        self._translate: dict[str, Callable[[Node], str]] = {
            "_FusedConv2D": self._convolution,
            "Conv2D": self._convolution,
            "FusedDepthwiseConv2dNative": self._convolution,
            "DepthwiseConv2dNative": self._convolution,
            "Add": self._plain("Add"),
            "Mul": self._plain("Mul"),
            "Relu": self._plain("Relu"),
            "Sigmoid": self._plain("Sigmoid"),
            "Identity": self._plain("Identity"),
            "Relu6": lambda node: self._graph.relu6(self.value(node.inputs[0])),
            "Mean": self._mean,
            "ConcatV2": self._concat,
            "ResizeBilinear": self._resize,
        }

    def value(self, name: str) -> str:
        """Return the ONNX name of a TensorFlow value, after translating everything that it depends on.

        The recursion is as deep as the network: a few hundred calls.

        Raises:
            ValueError: There is no translation for an operation.
        """
        name = name.removesuffix(":0")
        if name not in self._done:
            node = self._model.nodes[name]
            if node.operator == "Const":
                self._done[name] = self._graph.constant(self._model.weights[name])
            elif node.operator in self._translate:
                self._done[name] = self._translate[node.operator](node)
            else:
                raise ValueError(f"`{name}` is a {node.operator}, which is not translated")
        return self._done[name]

    def _plain(self, operator: str) -> Callable[[Node], str]:
        return lambda node: self._graph.node(operator, [self.value(name) for name in node.inputs])

    def _convolution(self, node: Node) -> str:
        if set(node.ints("dilations")) != {1}:
            raise ValueError(f"`{node.name}` is dilated, which is not translated")
        weights = self._model.weights[node.inputs[1]]
        groups = 1
        if "Depthwise" in node.operator:  # (H, W, channels, multiplier) -> (channels * multiplier, 1, H, W)
            groups = weights.shape[2]
            weights = weights.transpose(2, 3, 0, 1).reshape(-1, 1, *weights.shape[:2])
        else:  # (H, W, I, O) -> (O, I, H, W)
            weights = weights.transpose(3, 2, 0, 1)
        fused = node.texts("fused_ops")
        bias = self._model.weights[node.inputs[2]] if "BiasAdd" in fused else None
        x = self._channels_first(node.inputs[0])
        same = node.text("padding") == "SAME"
        y = self._graph.convolution(x, weights, bias, stride=node.ints("strides")[1], groups=groups, same=same)
        for operator in fused:
            if operator == "Relu":
                y = self._graph.node("Relu", [y])
            elif operator == "Relu6":
                y = self._graph.relu6(y)
            elif operator != "BiasAdd":
                raise ValueError(f"`{node.name}` is fused with {operator}, which is not translated")
        return self._channels_last(y)

    def _mean(self, node: Node) -> str:
        axes = self._graph.constant(self._model.weights[node.inputs[1]].reshape(-1), np.int64)
        return self._graph.node("ReduceMean", [self.value(node.inputs[0]), axes], keepdims=int(node.flag("keep_dims")))

    def _concat(self, node: Node) -> str:
        axis = int(self._model.weights[node.inputs[-1]])
        return self._graph.node("Concat", [self.value(name) for name in node.inputs[:-1]], axis=axis)

    def _resize(self, node: Node) -> str:
        if node.flag("align_corners"):
            raise ValueError(f"`{node.name}` aligns corners, which is not translated")
        size = self._graph.constant(self._model.weights[node.inputs[1]], np.int64)
        x = self._channels_first(node.inputs[0])
        outer = self._graph.node("Shape", [x], start=0, end=2)
        sizes = self._graph.node("Concat", [outer, size], axis=0)
        transformation = "half_pixel" if node.flag("half_pixel_centers") else "asymmetric"
        return self._channels_last(
            self._graph.node("Resize", [x, "", "", sizes], mode="linear", coordinate_transformation_mode=transformation)
        )

    def _channels_first(self, name: str) -> str:
        return self._graph.node("Transpose", [self.value(name)], perm=TO_CHANNELS_FIRST)

    def _channels_last(self, name: str) -> str:
        return self._graph.node("Transpose", [name], perm=TO_CHANNELS_LAST)


def translate(model: GraphModel, graph: GraphBuilder, inputs: dict[str, str], wanted: Sequence[str]) -> list[str]:
    """Translate everything that the wanted values depend on and return their ONNX names."""
    translator = Translator(model, graph, inputs)
    return [translator.value(name) for name in wanted]
