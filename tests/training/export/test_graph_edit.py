"""Shape suffixes: B chips, C channels, H height, W width, O outputs, I inputs, h, w kernel."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.export.graph_edit import Graph, attributes


def two_convolutions() -> onnx.ModelProto:
    """A convolution without a bias, a ReLU, a depthwise convolution; one constant is not used."""
    random = np.random.default_rng(0)
    first_OIhw, second_OIhw = (
        random.normal(size=shape).astype(np.float32) for shape in ((4, 3, 3, 3), (4, 1, 1, 1))
    )
    constants = {"first": first_OIhw, "second": second_OIhw, "unused": np.zeros(9, np.float32)}
    nodes = [
        helper.make_node("Conv", ["chips", "first"], ["a"], name="one", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "second"], ["c"], name="two", group=4),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("chips", TensorProto.FLOAT, ["B", 3, 8, 8])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, ["B", 4, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def graph() -> Graph:
    return Graph(onnx.shape_inference.infer_shapes(two_convolutions()))


def test_it_knows_makers_takers_and_widths(graph: Graph) -> None:
    assert graph.maker["b"].name == "relu"
    assert [node.name for node in graph.takers["b"]] == ["two"]
    assert graph.channels == {"chips": 3, "a": 4, "b": 4}
    assert [node.name for node in graph.convolutions()] == ["one", "two"]
    assert [graph.is_depthwise(node) for node in graph.nodes] == [False, False, True]
    assert attributes(graph.nodes[0])["pads"] == [1, 1, 1, 1]


def test_a_bias_that_lacks_is_zero(graph: Graph) -> None:
    kernel_OIhw, bias_O = graph.weights(graph.nodes[0])
    assert kernel_OIhw.shape == (4, 3, 3, 3)
    np.testing.assert_array_equal(bias_O, np.zeros(4))


def test_building_drops_what_is_not_used_and_the_source_stays(graph: Graph) -> None:
    graph.set_weights(graph.nodes[2], np.full((4, 1, 1, 1), 2.0), np.ones(4))
    model = graph.build()
    onnx.checker.check_model(model)
    assert {tensor.name for tensor in model.graph.initializer} == {"first", "c_kernel", "c_bias"}
    chips_BCHW = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    changed, source = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
        for m in (model, two_convolutions())
    )
    activated_BCHW = (changed.run(None, {"chips": chips_BCHW})[0] - 1) / 2
    second_O1hw = numpy_helper.to_array(two_convolutions().graph.initializer[1])
    np.testing.assert_allclose(
        activated_BCHW * second_O1hw[:, 0], source.run(None, {"chips": chips_BCHW})[0], rtol=0, atol=1e-5
    )


def test_a_depthwise_convolution_keeps_channels_apart(graph: Graph) -> None:
    node = graph.depthwise("c", "d", np.ones((4, 1, 3, 3), np.float32), np.zeros(4), pads=[1, 1, 1, 1])
    assert graph.is_depthwise(node)
    assert attributes(node) == {"group": 4, "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
