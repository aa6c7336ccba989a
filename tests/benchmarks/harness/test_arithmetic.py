"""Multiply-adds against the textbook: output elements times terms of each sum."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.harness.arithmetic import Peak, multiply_adds
from benchmarks.harness.bundles import mean_graph


def grouped(path: Path, height: int | str) -> Path:
    """Write a convolution of 8 channels in 4 groups, 3×3, stride 2, on `height`×16 pixels."""
    weights = numpy_helper.from_array(np.zeros((12, 2, 3, 3), np.float32), "weights")
    node = helper.make_node(
        "Conv", ["chips", "weights"], ["found"], group=4, strides=[2, 2], pads=[1, 1, 1, 1]
    )
    chips = helper.make_tensor_value_info("chips", TensorProto.FLOAT, ["B", 8, height, 16])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "grouped", [chips], [found], [weights]),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    onnx.save(model, path)
    return path


def test_products_and_convolutions_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mean.onnx"
    path.write_bytes(mean_graph(np.zeros((3, 17), np.float32), np.zeros(17, np.float32)))
    assert multiply_adds(path) == 3 * 17
    assert multiply_adds(grouped(tmp_path / "grouped.onnx", 32)) == 12 * 16 * 8 * (2 * 3 * 3)


def test_a_shape_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"grouped\.onnx: the shapes of Conv"):
        multiply_adds(grouped(tmp_path / "grouped.onnx", "H"))


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_peak_of_the_machine_is_measured(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.arithmetic.SIDE", 64)
    monkeypatch.setattr("benchmarks.harness.arithmetic.CHANNELS", 16)
    assert Peak(precision).gmac_s() > 0  # type: ignore[arg-type]
