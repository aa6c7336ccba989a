"""Shape suffixes: B chips, C channels, H height, W width."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from training.export.equalisation import Range, Span, as_convolutions, stretch
from training.export.graph_edit import Graph
from training.export.quantisation import observe


class Dense(nn.Module):
    """Scaling, a stem, two layers of a dense block with channels of unlike ranges, a transition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm, self.norm_of_both = nn.BatchNorm2d(8), nn.BatchNorm2d(16)
        self.layer, self.transition = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(16, 8, 1)
        self.out = nn.Conv2d(8, 4, 1)
        with torch.no_grad():
            assert self.stem.bias is not None
            self.stem.bias.zero_()  # no channel is always 0
            self.stem.weight *= torch.logspace(-2, 1, 8)[:, None, None, None]
            self.layer.weight *= torch.logspace(1, -2, 8)[:, None, None, None]
            for norm in (self.norm, self.norm_of_both):
                for name, spread in (("weight", 1.0), ("bias", 0.5), ("running_mean", 0.5)):
                    getattr(norm, name).normal_(0, spread)
                assert norm.running_var is not None
                norm.running_var.uniform_(0.5, 2)

    def forward(self, chips_BCHW: torch.Tensor) -> torch.Tensor:
        scaled_BCHW = (chips_BCHW - torch.tensor([100.0, 110, 90])[:, None, None]) / torch.tensor(
            [50.0, 60, 55]
        )[:, None, None]
        found_BCHW = nn.functional.max_pool2d(self.stem(scaled_BCHW).relu(), 2)
        more_BCHW = self.layer(self.norm(found_BCHW).relu())
        both_BCHW = torch.cat([found_BCHW, more_BCHW], dim=1)
        thin_BCHW = self.transition(self.norm_of_both(both_BCHW).relu())
        pooled_BCHW = nn.functional.avg_pool2d(thin_BCHW, 2)
        pooled_BCHW = nn.functional.avg_pool2d(pooled_BCHW, 3, 1, 1)
        left_out_BCHW = nn.functional.avg_pool2d(pooled_BCHW, 3, 1, 1, count_include_pad=False)
        head_BCHW: torch.Tensor = self.out(left_out_BCHW)
        return head_BCHW


@pytest.fixture(scope="module")
def chips_BCHW() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0, 255, (4, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("dense")
    program = torch.onnx.export(
        Dense().eval(),
        (torch.zeros(2, 3, 16, 16),),
        input_names=["chips"],
        dynamic_shapes={"chips_BCHW": {0: torch.export.Dim("batch", min=1, max=64)}},
        opset_version=20,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(folder / "dense.onnx")
    quant_pre_process(folder / "dense.onnx", folder / "folded.onnx", skip_symbolic_shape=True)
    return onnx.load(folder / "folded.onnx")


def answers(graph: Graph | onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    model = graph.build() if isinstance(graph, Graph) else graph
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: chips_BCHW})[0]
    return found


def test_norms_pools_and_scaling_become_convolutions_with_the_same_answers(
    model: onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]
) -> None:
    before = [node.op_type for node in model.graph.node]
    assert {"Sub", "Div", "BatchNormalization", "AveragePool"} <= set(before)
    graph = Graph(model)
    as_convolutions(graph)
    after = [node.op_type for node in graph.nodes]
    assert not {"Sub", "Div", "BatchNormalization"} & set(after)
    # Only the pool that leaves its padding out cannot be one.
    assert after.count("AveragePool") == before.count("AveragePool") - 2 == 1
    expected = answers(model, chips_BCHW)
    np.testing.assert_allclose(
        answers(graph, chips_BCHW), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_stretching_evens_ranges_out_and_changes_no_answer(
    model: onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]
) -> None:
    graph = Graph(model)
    as_convolutions(graph)
    name = next(node.output[0] for node in graph.nodes if node.op_type == "Concat")
    tensors = [name, *graph.maker[name].input]
    source = model.graph.input[0].name
    before = observe(graph, tensors, [{source: chips_BCHW}])
    span = Span(float(min(before[name].low_C)), float(max(before[name].high_C)))
    assert np.ptp(before[name].high_C) > 0.5 * (span.high - span.low)
    stretch(graph, before, dict.fromkeys(tensors, span))
    after = observe(graph, tensors, [{source: chips_BCHW}])
    np.testing.assert_allclose(after[name].low_C, span.low, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(after[name].high_C, span.high, rtol=1e-3, atol=1e-3)
    expected = answers(model, chips_BCHW)
    np.testing.assert_allclose(
        answers(graph, chips_BCHW), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )


def test_a_constant_channel_is_left_alone(
    model: onnx.ModelProto, chips_BCHW: npt.NDArray[np.float32]
) -> None:
    graph = Graph(model)
    as_convolutions(graph)
    name = next(node.output[0] for node in graph.nodes if node.op_type == "Concat")
    flat = {part: Range(np.ones(8, np.float32), np.ones(8, np.float32)) for part in graph.maker[name].input}
    before = answers(graph, chips_BCHW)
    stretch(graph, flat, dict.fromkeys(flat, Span(0.0, 1.0)))
    np.testing.assert_allclose(answers(graph, chips_BCHW), before, rtol=0, atol=1e-5 * np.abs(before).max())
