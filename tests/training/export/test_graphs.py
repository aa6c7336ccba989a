"""Shape suffixes: B chips, H height, W width, C bands, L labels, h, w feature map."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.chips.bands import RGB
from service.contract.manifest import InputSpec, Pixel, Precision
from tests.kit import networks, stripes
from training.data.dataset import Dataset, input_spec
from training.export import graphs
from training.export.graphs import OPSET, convert, write_float32
from training.export.quantisation import quantise
from training.network.augmentation import VIEWS, view
from training.network.model import ChipNet, ExportNet, silence
from training.network.preprocessing import Preprocessing
from training.run.folder import Run

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "int8": 0.1}
MEMBERS = range(len(stripes.CONFIG.members))

each_member = pytest.mark.parametrize("index", MEMBERS, ids=lambda i: stripes.CONFIG.members[i].architecture)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def graph_path(bundle: Bundle, index: int, precision: Precision) -> Path:
    return bundle.graph_path(bundle.manifest.members[index], precision)


def run_graph(path: Path, chips_BHWC: npt.NDArray[Pixel]) -> list[npt.NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers: list[npt.NDArray[np.float32]] = session.run(["probabilities", "evidence"], {"chips": chips_BHWC})
    return answers


@each_member
@each_precision
def test_every_graph_answers_like_the_network(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset, index: int, precision: Precision
) -> None:
    run, bundle = exported
    chips_BHWC = np.array(tiny_dataset.chips_NHWC)
    net = networks.network_of(run, stripes.CONFIG.members[index], range(stripes.CONFIG.folds))
    with torch.inference_mode():
        expected = [answer.numpy() for answer in networks.served(net)(torch.from_numpy(chips_BHWC))]
    answers = run_graph(graph_path(bundle, index, precision), chips_BHWC)
    scale = np.abs(expected[1]).max()
    for answer, reference, unit in zip(answers, expected, (1, scale), strict=True):
        assert answer.dtype == np.float32
        assert answer.shape == reference.shape
        assert np.abs(answer - reference).max() <= TOLERANCE[precision] * unit


@each_member
@each_precision
def test_evidence_adds_up_to_the_probability(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset, index: int, precision: Precision
) -> None:
    run, bundle = exported
    probs_BL, evidence_BLhw = run_graph(
        graph_path(bundle, index, precision), np.array(tiny_dataset.chips_NHWC[:8])
    )
    bias_L = networks.network_of(run, stripes.CONFIG.members[index], [0, 1]).head.bias.detach().numpy()
    logits_BL = evidence_BLhw.mean(axis=(2, 3)) + bias_L
    tolerance = 5e-3 if precision == "float16" else 1e-5
    np.testing.assert_allclose(1 / (1 + np.exp(-logits_BL)), probs_BL, rtol=0, atol=tolerance)


@each_member
@each_precision
def test_any_batch_goes_in_and_nothing_lies_outside_the_file(
    tiny_bundle: Bundle, tiny_dataset: Dataset, index: int, precision: Precision
) -> None:
    path = graph_path(tiny_bundle, index, precision)
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model)
    assert not any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)
    assert model.opset_import[0].version == OPSET
    chips_BHWC = np.array(tiny_dataset.chips_NHWC[:5])
    together_BL = run_graph(path, chips_BHWC)[0]
    alone_BL = np.concatenate([run_graph(path, chips_BHWC[n : n + 1])[0] for n in range(5)])
    np.testing.assert_allclose(alone_BL, together_BL, rtol=0, atol=1e-5)


@each_member
def test_half_precision_holds_half_the_bytes(tiny_bundle: Bundle, index: int) -> None:
    path = graph_path(tiny_bundle, index, "float16")
    kinds = [tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4]
    assert set(kinds) == {onnx.TensorProto.FLOAT16}
    assert path.stat().st_size < 0.65 * graph_path(tiny_bundle, index, "float32").stat().st_size


@each_member
def test_int8_quantises_every_convolution_but_the_head(tiny_bundle: Bundle, index: int) -> None:
    """The only other one in float32 scales the input, channel by channel."""
    graph = onnx.load(graph_path(tiny_bundle, index, "int8")).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = [node for node in convolutions if node.input[1] in constants]
    assert kept == [convolutions[0], convolutions[-1]]
    assert constants[kept[0].input[1]].shape == (3, 1, 1, 1)
    assert "evidence" in kept[1].output


def test_int8_is_the_same_every_time(tiny_bundle: Bundle, tiny_dataset: Dataset, tmp_path: Path) -> None:
    path = graph_path(tiny_bundle, 0, "float32")
    for name in ("first", "second"):
        convert(path, "int8", tmp_path / name, np.array(tiny_dataset.chips_NHWC[:8]))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_float32_is_copied(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = graph_path(tiny_bundle, 0, "float32")
    nothing_BHWC = np.empty((0, stripes.SIZE_PX, stripes.SIZE_PX, 3), np.uint8)
    convert(path, "float32", tmp_path / "copy.onnx", nothing_BHWC)
    assert (tmp_path / "copy.onnx").read_bytes() == path.read_bytes()


def test_uint16_chips_go_in_at_every_precision(tmp_path: Path) -> None:
    """Half precision holds 5000 only to 4, and 65535 not at all: scaling comes first."""
    spec = InputSpec(bands=RGB, dtype="uint16", height=64, width=64)
    torch.manual_seed(0)
    scaling = Preprocessing(RGB, RGB, size_px=80, full_scale=65535, mean=[5000] * 3, std=[1000] * 3)
    chip_net = ChipNet(stripes.WHOLE, scaling, labels=4, pretrained=False)
    net = ExportNet(chip_net, stripes.LABELS, ()).eval()
    random = np.random.default_rng(0)
    chips_BHWC = random.integers(4000, 6000, (8, 64, 64, 3), dtype=np.uint16)
    chips_BHWC[:, :4] = 65535
    write_float32(net, spec, tmp_path / "whole.onnx")
    expected = [answer.numpy(force=True) for answer in net(torch.from_numpy(chips_BHWC))]
    for precision in PRECISIONS:
        path = tmp_path / f"{precision}.onnx"
        convert(tmp_path / "whole.onnx", precision, path, chips_BHWC)
        onnx.checker.check_model(onnx.load(path))
        for answer, reference in zip(run_graph(path, chips_BHWC), expected, strict=True):
            assert np.abs(answer - reference).max() <= TOLERANCE[precision] * np.abs(expected[1]).max()


@pytest.fixture(scope="module")
def of_views(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportNet, Path]:
    """A network of eight views with two exclusive labels and one that it says nothing on."""
    net = networks.network_of(trained, stripes.FROZEN, [0])
    silence(net.head, np.array([label != "dark" for label in stripes.LABELS]))
    served = ExportNet(net, stripes.LABELS, ("blue", "red"), views=VIEWS).eval()
    path = tmp_path_factory.mktemp("views") / "float32.onnx"
    write_float32(served, input_spec(trained), path)
    return served, path


def test_a_graph_of_eight_views_answers_like_the_network_however_a_chip_lies(
    of_views: tuple[ExportNet, Path], tiny_dataset: Dataset
) -> None:
    net, path = of_views
    chips_BHWC = torch.from_numpy(np.array(tiny_dataset.chips_NHWC[:5]))
    probs_BL, evidence_BLhw = run_graph(path, chips_BHWC.numpy())
    with torch.inference_mode():
        expected_BL, expected_BLhw = (answer.numpy() for answer in net(chips_BHWC))
    np.testing.assert_allclose(probs_BL, expected_BL, rtol=0, atol=1e-5)
    np.testing.assert_allclose(evidence_BLhw, expected_BLhw, rtol=0, atol=1e-4 * np.abs(expected_BLhw).max())
    logits_BL = torch.from_numpy(evidence_BLhw.mean(axis=(2, 3))) + net.net.head.bias.detach()
    blue, dark, green, red = (stripes.LABELS.index(label) for label in ("blue", "dark", "green", "red"))
    np.testing.assert_allclose(probs_BL[:, [blue, red]].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        probs_BL[:, [blue, red]], logits_BL[:, [blue, red]].softmax(dim=1), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(probs_BL[:, green], torch.sigmoid(logits_BL[:, green]), rtol=0, atol=1e-5)
    assert probs_BL[:, dark].max() < 1e-12
    for index in range(1, VIEWS):
        turned_BL = run_graph(path, view(chips_BHWC, index).contiguous().numpy())[0]
        np.testing.assert_allclose(turned_BL, probs_BL, rtol=0, atol=1e-5)


def test_the_head_of_eight_views_stays_float32_in_int8(
    of_views: tuple[ExportNet, Path], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    convert(of_views[1], "int8", tmp_path / "int8.onnx", np.array(tiny_dataset.chips_NHWC[:4]))
    graph = onnx.load(tmp_path / "int8.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = [node for node in convolutions if node.input[1] in constants]
    assert kept == [convolutions[0], convolutions[-1]]
    assert "evidence" not in kept[1].output  # which is the mean of eight


def test_of_int8_graphs_that_all_round_too_much_the_closest_is_kept(
    tiny_bundle: Bundle, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chips_BHWC = np.array(tiny_dataset.chips_NHWC[:8])
    float32 = graph_path(tiny_bundle, 0, "float32")
    made: list[bytes] = []

    def recorded(*arguments: Any, **options: Any) -> onnx.ModelProto:  # noqa: ANN401
        model = quantise(*arguments, **options)
        made.append(model.SerializeToString())
        return model

    monkeypatch.setattr(graphs, "quantise", recorded)
    monkeypatch.setattr(graphs, "MAX_ROUNDING", 0.0)
    for order in ((0, 5), (5, 0)):
        monkeypatch.setattr(graphs, "FLOAT_CONVOLUTIONS", order)
        graphs.write_int8(float32, tmp_path / f"{order}.onnx", chips_BHWC)
    assert made[:2] == made[:1:-1]
    assert made[0] != made[1]
    kept = {(tmp_path / f"{order}.onnx").read_bytes() for order in ((0, 5), (5, 0))}
    assert len(kept) == 1
