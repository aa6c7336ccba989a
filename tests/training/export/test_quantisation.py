"""Shape suffixes: B chips, C channels, H height, W width."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from training.export.graph_edit import Graph, attributes
from training.export.quantisation import GEMM_INPUTS, GEMM_OUTPUTS, observe, quantise
from training.export.saturation import LARGEST_PAIR, check_bounded, largest_pairs


def network() -> onnx.ModelProto:
    """A stem, a pool, two branches (one sums up many products), their concatenation, a head."""
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def convolve(name: str, source: str, inputs: int, outputs: int, side: int, *, relu: bool = True) -> str:
        kernel = random.normal(0, 1 / math.sqrt(inputs * side * side), (outputs, inputs, side, side))
        constants.append(numpy_helper.from_array(kernel.astype(np.float32), f"{name}_w"))
        constants.append(numpy_helper.from_array(random.normal(size=outputs).astype(np.float32), f"{name}_b"))
        weights = [f"{name}_w", f"{name}_b"]
        pads = [side // 2] * 4
        nodes.append(helper.make_node("Conv", [source, *weights], [f"{name}_raw"], name=name, pads=pads))
        if relu:
            nodes.append(helper.make_node("Relu", [f"{name}_raw"], [name]))
        return name if relu else f"{name}_raw"

    stem = convolve("stem", "chips", 3, 64, 3)
    nodes.append(helper.make_node("MaxPool", [stem], ["pool"], kernel_shape=[2, 2], strides=[2, 2]))
    parts = [convolve("wide", "pool", 64, 128, 3), convolve("thin", "pool", 64, 8, 1)]
    nodes.append(helper.make_node("Concat", parts, ["both"], axis=1))
    head = convolve("head", "both", 136, 4, 1, relu=False)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("chips", TensorProto.FLOAT, ["B", 3, 16, 16])],
        [helper.make_tensor_value_info(head, TensorProto.FLOAT, ["B", 4, 8, 8])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@pytest.fixture(scope="module")
def chips_BCHW() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(8, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def quantised(chips_BCHW: npt.NDArray[np.float32]) -> onnx.ModelProto:
    model = quantise(network(), ({"chips": chips_BCHW[n : n + 2]} for n in range(0, 8, 2)), float32=0)
    onnx.checker.check_model(model)
    check_bounded(model)
    return model


def session_of(model: onnx.ModelProto, **options: str) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    for key, value in options.items():
        setattr(settings, key, value)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )


def test_ranges_are_each_channels_least_and_greatest_over_all_feeds(
    chips_BCHW: npt.NDArray[np.float32],
) -> None:
    feeds = [{"chips": part} for part in (chips_BCHW[:3], chips_BCHW[3:])]
    found = observe(Graph(network()), ["chips", "stem"], feeds)
    np.testing.assert_array_equal(found["chips"].low_C, chips_BCHW.min(axis=(0, 2, 3)))
    np.testing.assert_array_equal(found["chips"].high_C, chips_BCHW.max(axis=(0, 2, 3)))
    assert found["stem"].low_C.shape == (64,)
    assert (found["stem"].low_C >= 0).all()


def test_it_answers_nearly_as_before(quantised: onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]) -> None:
    answers, expected = (
        session_of(model).run(None, {"chips": chips_BCHW})[0] for model in (quantised, network())
    )
    assert 0 < np.abs(answers - expected).max() < 0.02 * np.ptp(expected)


def test_all_but_the_head_have_integer_weights_with_one_scale_per_channel(
    quantised: onnx.ModelProto,
) -> None:
    graph = Graph(quantised)
    assert [node.name for node in graph.convolutions()] == ["head"]
    for node in [node for node in graph.nodes if node.op_type == "Conv" and node.name != "head"]:
        kernel, bias = graph.maker[node.input[1]], graph.maker[node.input[2]]
        values, scale, zero = (graph.constants[name] for name in kernel.input)
        assert values.dtype == np.int8
        assert scale.shape == zero.shape == (len(values),)
        assert attributes(kernel)["axis"] == 0
        gemm = len(values) >= GEMM_OUTPUTS and values[0].size >= GEMM_INPUTS
        assert gemm == (node.name == "wide")
        assert (zero == gemm).all()
        # Every channel uses the integers' whole range, or as much as keeps its sums exact.
        highest_O = np.abs(values - zero[0].astype(np.int64)).reshape(len(values), -1).max(axis=1)
        pairs_O = largest_pairs(values)
        assert ((highest_O >= 126) | (pairs_O >= LARGEST_PAIR - 2)).all()
        assert (pairs_O <= LARGEST_PAIR).all()
        numbers, bias_scale, _ = (graph.constants[name] for name in bias.input)
        assert numbers.dtype == np.int32
        pixels = graph.maker[node.input[0]]
        np.testing.assert_allclose(bias_scale, graph.constants[pixels.input[1]] * scale, rtol=1e-6)


def test_what_is_pooled_or_concatenated_shares_a_scale(quantised: onnx.ModelProto) -> None:
    graph = Graph(quantised)
    scale = {node.input[0]: node.input[1:] for node in graph.nodes if node.op_type == "QuantizeLinear"}
    value = {name: [graph.constants[n].item() for n in names] for name, names in scale.items()}
    assert value["stem"] == value["pool"]
    assert value["wide"] == value["thin"] == value["both"]
    assert value["stem"] != value["wide"]
    assert value["stem"][1] == 0


def test_onnx_runtime_makes_integers_of_all_between_the_first_and_the_head(
    quantised: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("optimised") / "graph.onnx"
    session_of(quantised, optimized_model_filepath=str(path))
    kinds = [node.op_type for node in onnx.load(path).graph.node if node.op_type != "Transpose"]
    assert kinds.count("QLinearConv") == 3
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (1, 1)
    assert "Relu" not in kinds


def test_a_concatenation_with_the_input_and_a_constant_is_quantised(
    chips_BCHW: npt.NDArray[np.float32],
) -> None:
    random = np.random.default_rng(2)
    weights = {"a": (6, 3, 1, 1), "b": (12, 1, 3, 3), "head": (4, 12, 1, 1), "planes": (8, 3, 16, 16)}
    constants = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["chips", "a"], ["first"], name="first"),
        helper.make_node("Concat", ["chips", "first", "planes"], ["all"], axis=1),
        helper.make_node("Conv", ["all", "b"], ["second"], name="second", group=12, pads=[1] * 4),
        helper.make_node("Conv", ["second", "head"], ["out"], name="head"),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, channels, 16, 16])]
        for name, channels in (("chips", 3), ("out", 4))
    )
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    feed = {"chips": chips_BCHW}
    quantised = quantise(model, [feed], float32=0)
    answers, expected = (session_of(each).run(None, feed)[0] for each in (quantised, model))
    assert 0 < np.abs(answers - expected).max() < 0.03 * np.ptp(expected)


def test_convolutions_and_norms_along_a_line_stay_as_they_are(tmp_path: Path) -> None:
    class Attention(nn.Module):
        """Weighs channels by their neighbours, as ECA does, and norms flattened planes."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.along, self.norm = nn.Conv1d(1, 1, 3, padding=1), nn.BatchNorm1d(8)
            self.head = nn.Conv2d(8, 4, 1)

        def forward(self, chips_BCHW: torch.Tensor) -> torch.Tensor:
            found_BCHW = self.first(chips_BCHW).relu()
            weights_BC = self.along(found_BCHW.mean(dim=(2, 3))[:, None])[:, 0].sigmoid()
            weighed_BCHW = self.second(found_BCHW * weights_BC[:, :, None, None]).relu()
            normed_BCHW = self.norm(weighed_BCHW.flatten(2)).reshape(weighed_BCHW.shape)
            head_BCHW: torch.Tensor = self.head(normed_BCHW)
            return head_BCHW

    torch.manual_seed(0)
    chips_BCHW = torch.randn(8, 3, 16, 16)
    net = Attention().eval()
    program = torch.onnx.export(net, (chips_BCHW,), input_names=["chips"], dynamo=True, verbose=False)
    assert program is not None
    program.save(tmp_path / "net.onnx")
    quant_pre_process(tmp_path / "net.onnx", tmp_path / "folded.onnx", skip_symbolic_shape=True)
    feed = {"chips": chips_BCHW.numpy()}
    quantised = quantise(onnx.load(tmp_path / "folded.onnx"), [feed], float32=0)
    answers, expected = session_of(quantised).run(None, feed)[0], net(chips_BCHW).detach().numpy()
    assert 0 < np.abs(answers - expected).max() < 0.03 * np.ptp(expected)


def test_equal_input_gives_equal_bytes(
    quantised: onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]
) -> None:
    again = quantise(network(), ({"chips": chips_BCHW[n : n + 2]} for n in range(0, 8, 2)), float32=0)
    assert again.SerializeToString(deterministic=True) == quantised.SerializeToString(deterministic=True)


def test_the_first_convolutions_stay_as_they_are_if_asked(chips_BCHW: npt.NDArray[np.float32]) -> None:
    feeds = [{"chips": chips_BCHW}]
    kept = [
        [node.name for node in Graph(quantise(network(), feeds, float32=count)).convolutions()]
        for count in range(4)
    ]
    assert kept == [["head"], ["stem", "head"], ["stem", "wide", "head"], ["stem", "wide", "thin", "head"]]
