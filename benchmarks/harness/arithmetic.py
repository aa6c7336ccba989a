"""How much arithmetic a graph is, and how much of it this machine can do at most.

A graph's multiply-adds are counted from its shapes; the machine's peak is measured on matrix
products so large that nothing else matters.
"""

from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.contract.manifest import Precision
from service.contract.onnx_runtime import open_session

SIDE = 2048
CHANNELS, SIDE_PX = 1024, 64
REPEATS = 5
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}  # which input is the weights
_PRODUCTS = {"Gemm": 0, "MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}  # which input is summed over


def multiply_adds(path: Path) -> int:
    """Count the multiply-adds of convolutions and matrix products for one chip.

    Raises:
        ValueError: a shape cannot be known without running the graph.
    """
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {array.name: list(array.dims) for array in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes.setdefault(value.name, [dim.dim_value for dim in value.type.tensor_type.shape.dim])
    total = 0
    for node in graph.node:
        if node.op_type not in _CONVOLUTIONS | _PRODUCTS:
            continue
        if node.op_type in _CONVOLUTIONS:
            terms = shapes[node.input[_CONVOLUTIONS[node.op_type]]][1:]
        else:
            turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            terms = [shapes[node.input[_PRODUCTS[node.op_type]]][0 if turned else -1]]
        sizes = [*shapes[node.output[0]], *terms]
        if not all(sizes):
            raise ValueError(f"{path.name}: the shapes of {node.op_type} {node.name} are not static")
        total += int(np.prod(sizes, dtype=np.int64))
    return total


class Peak:
    """The most multiply-adds per second that ONNX Runtime does on all cores at a precision."""

    def __init__(self, precision: Precision) -> None:
        """Prepare; the CPU computes float16 as float32."""
        makers = (_integer_product, _integer_convolution) if precision == "int8" else (_float_product,)
        self._sessions = []
        for make in makers:
            model, feed, count = make()
            session = open_session(model.SerializeToString())
            self._sessions.append((session, feed, count))

    def gmac_s(self) -> float:
        """Return the best of a few runs of each product, in 10⁹ multiply-adds per second."""
        best = 0.0
        for session, feed, count in self._sessions:
            session.run(None, feed)
            for _ in range(REPEATS):
                began_s = perf_counter()
                session.run(None, feed)
                best = max(best, count / (perf_counter() - began_s) / 1e9)
        return best


Product = tuple[onnx.ModelProto, dict[str, np.ndarray], int]


def _float_product() -> Product:
    random = np.random.default_rng(0)
    left, right = (random.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2))
    node = helper.make_node("MatMul", ["left", "right"], ["found"])
    return _model(node, {"right": right}, TensorProto.FLOAT), {"left": left}, SIDE**3


def _integer_product() -> Product:
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (SIDE, SIDE), np.uint8)
    right = random.integers(-127, 128, (SIDE, SIDE), np.int8)
    node = helper.make_node("MatMulInteger", ["left", "right"], ["found"])
    return _model(node, {"right": right}, TensorProto.INT32, TensorProto.UINT8), {"left": left}, SIDE**3


def _integer_convolution() -> Product:
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (1, CHANNELS, SIDE_PX, SIDE_PX), np.uint8)
    names = ["left", "scale", "zero", "weights", "scale", "weight_zero", "coarse", "zero"]
    constants: dict[str, np.ndarray] = {
        "scale": np.array(0.01, np.float32),
        "coarse": np.array(1, np.float32),
        "zero": np.array(128, np.uint8),
        "weight_zero": np.array(0, np.int8),
        "weights": random.integers(-127, 128, (CHANNELS, CHANNELS, 1, 1), np.int8),
    }
    node = helper.make_node("QLinearConv", names, ["found"])
    model = _model(node, constants, TensorProto.UINT8, TensorProto.UINT8, rank=4)
    return model, {"left": left}, CHANNELS**2 * SIDE_PX**2


def _model(
    node: onnx.NodeProto,
    constants: dict[str, np.ndarray],
    found: int,
    left: int = TensorProto.FLOAT,
    rank: int = 2,
) -> onnx.ModelProto:
    shape = [f"size{axis}" for axis in range(rank)]
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("left", left, shape)],
        [helper.make_tensor_value_info("found", found, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
