"""An ONNX graph while it is written: its nodes one after the other, and its weights in a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper

from olpipe.convert.weights import WeightFile

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""

_OPSET = 21
_IR_VERSION = 10


class Graph:
    """The nodes of a graph in the order of the data flow, and its weights."""

    def __init__(self, weights: WeightFile) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """Append a node, which is named after its first output; returns the name of this output."""
        name = outputs[0].removesuffix(".output")
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a weight that several nodes may use. It is added only once; returns its name."""
        name = f"constants.{name}"
        return name if name in self.weights else self.weights.add(name, values)


def write_graph(path: Path, build: Callable[[WeightFile], onnx.GraphProto]) -> None:
    """Write a graph to an `.onnx` file, and its weights to a file `.onnx.data` beside it.

    Args:
        path: The `.onnx` file.
        build: Makes the graph, and adds its weights to the file of weights.
    """
    with WeightFile(path.with_name(path.name + ".data")) as weights:
        graph = build(weights)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(CONTRIB, 1)],
        ir_version=_IR_VERSION,
        producer_name="olpipe",
    )
    path.write_bytes(model.SerializeToString())
