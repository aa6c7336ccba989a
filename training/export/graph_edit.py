"""An ONNX graph that can be rewritten: its nodes in order, its constants, who makes and takes what.

Knows ONNX only: no network, no precision.

Shape suffixes: O output channels, I input channels of a group, h, w kernel.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Floats = npt.NDArray[np.floating[Any]]


class Graph:
    """A model taken apart; after a change of nodes, `index` finds makers and takers again."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.nodes = list(self.model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        known = (*model.graph.input, *model.graph.value_info)
        shapes = {info.name: info.type.tensor_type.shape.dim for info in known}
        self.channels = {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) == 4}
        self.index()

    def index(self) -> None:
        """Find every tensor's maker and takers."""
        self.maker = {output: node for node in self.nodes for output in node.output}
        self.takers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.takers[name].append(node)

    def build(self) -> onnx.ModelProto:
        """Return the model, with the constants that it uses."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in self.constants.items()
            if name in used
        )
        return model

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Keep a constant and return its name."""
        self.constants[name] = np.asarray(value)
        return name

    def convolutions(self) -> list[onnx.NodeProto]:
        """Return the convolutions of planes with constant weights, in order."""
        return [node for node in self.nodes if self._is_convolution(node)]

    def weights(self, node: onnx.NodeProto) -> tuple[Floats, Floats]:
        """Return a convolution's kernel (O,I,h,w) and bias (O,)."""
        kernel_OIhw = self.constants[node.input[1]]
        bias_O = (
            self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(kernel_OIhw), np.float32)
        )
        return kernel_OIhw, bias_O

    def set_weights(self, node: onnx.NodeProto, kernel_OIhw: npt.ArrayLike, bias_O: npt.ArrayLike) -> None:
        """Give a convolution weights of its own."""
        own = {f"{node.output[0]}_kernel": kernel_OIhw, f"{node.output[0]}_bias": bias_O}
        names = [self.constant(name, np.asarray(value, np.float32)) for name, value in own.items()]
        del node.input[1:]
        node.input.extend(names)

    def depthwise(
        self, source: str, target: str, kernel_OIhw: Floats, bias_O: npt.ArrayLike, **geometry: list[int]
    ) -> onnx.NodeProto:
        """Return a new convolution that keeps channels apart; the caller places it."""
        shape = kernel_OIhw.shape
        node = helper.make_node(
            "Conv",
            [source],
            [target],
            name=f"{target}_depthwise",
            group=shape[0],
            kernel_shape=shape[2:],
        )
        node.attribute.extend(helper.make_attribute(key, value) for key, value in geometry.items())
        self.set_weights(node, kernel_OIhw, bias_O)
        return node

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """Return whether a node is a convolution with one kernel for each channel."""
        return self._is_convolution(node) and is_depthwise(node, self.constants[node.input[1]])

    def _is_convolution(self, node: onnx.NodeProto) -> bool:
        kernel = self.constants.get(node.input[1]) if node.op_type == "Conv" else None
        return kernel is not None and kernel.ndim == 4  # along a line, there are 3


def is_depthwise(convolution: onnx.NodeProto, kernel_OIhw: npt.NDArray[Any]) -> bool:
    """Return whether a convolution has one kernel for each channel."""
    return kernel_OIhw.shape[1] == 1 and int(attributes(convolution).get("group", 1)) == len(kernel_OIhw)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python's values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
