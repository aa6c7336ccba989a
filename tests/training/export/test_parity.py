"""Shape suffixes: B chips, H height, W width, C bands, L labels, h, w feature map."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from service.contract.bundle import Bundle
from service.contract.manifest import Pixel
from tests.kit import networks, stripes
from training.data.dataset import Dataset
from training.export.parity import MAX_DIFFERENCE, check_graph, graph_answers, torch_answers
from training.run.folder import Run

Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Case(NamedTuple):
    """A right graph, what it is compared with, and thresholds in the middle of its answers."""

    path: Path
    expected: Answers
    chips_BHWC: npt.NDArray[Pixel]
    targets_BL: npt.NDArray[np.bool_]
    thresholds_L: npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def case(exported: tuple[Run, Bundle], tiny_dataset: Dataset) -> Case:
    run, bundle = exported
    chips_BHWC = np.array(tiny_dataset.chips_NHWC)
    expected = torch_answers(networks.served(networks.network_of(run, stripes.FROZEN, [0, 1])), chips_BHWC)
    thresholds_L = np.median(expected[0], axis=0)
    targets_BL = expected[0] >= thresholds_L
    return Case(
        bundle.graph_path(bundle.manifest.members[0], "float32"),
        expected,
        chips_BHWC,
        targets_BL,
        thresholds_L,
    )


def test_a_right_graph_passes_with_its_differences(case: Case) -> None:
    check = check_graph(case.path, "float32", *case[1:])
    assert check.chips == stripes.CHIPS
    assert 0 <= check.max_probability_difference <= MAX_DIFFERENCE
    off_BL = np.abs(graph_answers(case.path, case.chips_BHWC)[0] - case.expected[0])
    assert check.max_probability_difference == off_BL.max()


def test_the_recorded_change_is_that_of_the_labels(case: Case, exported: tuple[Run, Bundle]) -> None:
    """Against the opposite truth, only float16's few flips make a difference."""
    bundle = exported[1]
    path = bundle.graph_path(bundle.manifest.members[0], "int8")
    wanted_BL = graph_answers(path, case.chips_BHWC)[0] >= case.thresholds_L
    check = check_graph(path, "int8", case.expected, case.chips_BHWC, wanted_BL, case.thresholds_L)
    assert check.sample_f2_change >= 0
    assert (check.sample_f2_change == 0) == bool((wanted_BL == case.targets_BL).all())


def with_swapped_head(path: Path, out: Path) -> Path:
    """Write the graph with two labels' head weights exchanged."""
    model = onnx.load(path)
    head = next(node for node in model.graph.node if "evidence" in node.output)
    for tensor in model.graph.initializer:
        if tensor.name == head.input[1]:
            weights = onnx.numpy_helper.to_array(tensor)[::-1]
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights.copy(), tensor.name))
    onnx.save(model, out)
    return out


def test_a_graph_with_a_swapped_head_is_refused(case: Case, tmp_path: Path) -> None:
    wrong = with_swapped_head(case.path, tmp_path / "wrong.onnx")
    with pytest.raises(
        ValueError, match=r"wrong.onnx on 64 chips: probabilities differ from PyTorch's by 0\.\d"
    ):
        check_graph(wrong, "float32", *case[1:])
    with pytest.raises(ValueError, match=r"F2 falls from 1.0000 to 0\.\d+; calibrate on more chips"):
        check_graph(wrong, "int8", *case[1:])


def test_a_graph_of_another_fold_is_refused(case: Case, exported: tuple[Run, Bundle]) -> None:
    expected = torch_answers(
        networks.served(networks.network_of(exported[0], stripes.FROZEN, [0])), case.chips_BHWC
    )
    with pytest.raises(ValueError, match="probabilities differ"):
        check_graph(case.path, "float32", expected, *case[2:])


def test_a_difference_just_above_the_limit_is_refused(case: Case) -> None:
    probs_BL, evidence_BLhw = case.expected
    shifted = (probs_BL + np.float32(1.1 * MAX_DIFFERENCE), evidence_BLhw)
    with pytest.raises(ValueError, match="probabilities differ from PyTorch's"):
        check_graph(case.path, "float32", shifted, *case[2:])


def test_wrong_evidence_is_refused_though_probabilities_agree(case: Case) -> None:
    probs_BL, evidence_BLhw = case.expected
    turned = (probs_BL, evidence_BLhw[..., ::-1])
    with pytest.raises(ValueError, match=re.escape("evidence differs from PyTorch's")):
        check_graph(case.path, "float32", turned, *case[2:])


def test_what_is_no_number_is_refused(case: Case) -> None:
    probs_BL, evidence_BLhw = case.expected
    with pytest.raises(ValueError, match="differ from PyTorch's by nan"):
        check_graph(case.path, "float32", (probs_BL * np.float32("nan"), evidence_BLhw), *case[2:])
