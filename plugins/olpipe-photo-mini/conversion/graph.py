"""Make an ONNX graph node by node, with its weights stored as float16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9
"""Old enough for every ONNX Runtime that olpipe accepts."""

SMALL = 64
"""Constants with fewer values keep their own type: float16 would save nothing, and shapes must be exact."""


class GraphBuilder:
    """Collects nodes and constants. It makes up names where the caller gives none."""

    def __init__(self, *, half: bool = True) -> None:
        """Start an empty graph.

        Args:
            half: Store large float constants as float16, with a Cast to float32 after them. ONNX Runtime computes the
                Cast when it opens the model, so it calculates in float32 either way.
        """
        self._half = half
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, values: npt.ArrayLike, dtype: type[np.generic] | None = None) -> str:
        """Add a constant and return its name."""
        array = np.ascontiguousarray(np.asarray(values, dtype=dtype)).reshape(np.shape(values))
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = self._fresh("constant")
        if not self._half or array.dtype != np.float32 or array.size < SMALL:
            self._constants.append(numpy_helper.from_array(array, name))
            return name
        self._constants.append(numpy_helper.from_array(array.astype(np.float16), name))
        return self.node("Cast", [name], to=TensorProto.FLOAT)

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Add a node with one output and return the output's name."""
        return self.nodes(operator, inputs, (output or self._fresh(operator),), **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object
    ) -> Sequence[str]:
        """Add a node with several outputs and return their names."""
        self._nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))
        return outputs

    def convolution(
        self,
        x: str,
        weights: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32] | None = None,
        *,
        stride: int = 1,
        groups: int = 1,
        same: bool = True,
    ) -> str:
        """Add a convolution over (N, C, H, W), padded as TensorFlow's SAME or VALID.

        Args:
            x: Name of the input.
            weights: (O, I / groups, H, W).
            bias: (O,), or None.
            stride: Stride of both axes.
            groups: Number of groups; as many as there are channels for a depthwise convolution.
            same: Whether to pad so that stride 1 keeps the size.
        """
        inputs = [x, self.constant(weights)] + ([] if bias is None else [self.constant(bias)])
        return self.node(
            "Conv",
            inputs,
            auto_pad="SAME_UPPER" if same else "VALID",
            group=groups,
            kernel_shape=list(weights.shape[2:]),
            strides=[stride, stride],
        )

    def relu6(self, x: str) -> str:
        """Add a ReLU whose values are at most six."""
        return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))])

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the finished model, checked."""
        graph = helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="olpipe")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def float_value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """Describe a float32 input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
