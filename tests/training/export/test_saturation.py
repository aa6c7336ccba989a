"""Bounded weights in ONNX Runtime's fast and exact kernels; with VNNI, both are exact."""

import base64
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service.contract import onnx_runtime
from service.contract.bundle import load
from service.contract.chips.decode import decode_chip
from service.contract.onnx_runtime import open_session
from tests.kit.serving import DEFAULT_BUNDLE
from training.export.saturation import LARGEST_PAIR, bounded_scales, check_bounded, largest_pairs


def convolution(kernel_OIhw: npt.NDArray[np.int8], group: int = 1, zero: int = 0) -> onnx.ModelProto:
    """Pixels uint8 → a convolution of integers in QDQ form, its sums as float32 without loss."""
    outputs, _, side, _ = kernel_OIhw.shape
    channels = kernel_OIhw.shape[1] * group
    constants = {
        "one": np.float32(1),
        "step": np.float32(2**12),  # sums of up to 2²⁰ on 8 bits
        "nought": np.uint8(0),
        "middle": np.uint8(128),
        "scales": np.ones(outputs, np.float32),
        "zeros": np.full(outputs, zero, np.int8),
        "kernel": kernel_OIhw,
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["pixels", "one", "nought"], ["x"]),
        helper.make_node("DequantizeLinear", ["kernel", "scales", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv", group=group, pads=[side // 2] * 4),
        helper.make_node("QuantizeLinear", ["y", "step", "middle"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "middle"], ["sums"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["B", channels, 8, 8])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["B", outputs, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def sums(model: onnx.ModelProto, pixels: npt.NDArray[np.uint8], *, exact: bool) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = open_session(model.SerializeToString(), exact=exact).run(
        None, {"pixels": pixels}
    )[0]
    return found


def worst_pixels(channels: int) -> npt.NDArray[np.uint8]:
    """All at their highest, and every neighbour by turns."""
    pixels = np.full((3, channels, 8, 8), 255, np.uint8)
    pixels[1, ::2] = 0
    pixels[2, 1::2] = 0
    return pixels


def integers(kernel_OIhw: npt.NDArray[np.float64], zero: int) -> npt.NDArray[np.int8]:
    scale_O = np.abs(kernel_OIhw).max(axis=(1, 2, 3)) / (127 - zero)
    scale_O = bounded_scales(kernel_OIhw, scale_O, zero)
    return (np.rint(kernel_OIhw / scale_O[:, None, None, None]) + zero).astype(np.int8)


@pytest.mark.parametrize("zero", [0, 1])
@pytest.mark.parametrize(
    "shape", [(16, 16, 3, 3), (8, 3, 3, 3), (128, 512, 1, 1), (130, 64, 3, 3), (4, 5, 1, 1)]
)
@pytest.mark.parametrize("same_sign", [False, True])
def test_bounded_weights_give_the_same_bits_with_fast_and_exact_kernels(
    shape: tuple[int, int, int, int], zero: int, same_sign: bool
) -> None:
    random = np.random.default_rng(0)
    kernel_OIhw = random.normal(size=shape)
    if same_sign:  # the worst: every pair would be cut off
        kernel_OIhw = np.abs(kernel_OIhw) + 1
    model = convolution(integers(kernel_OIhw, zero), zero=zero)
    check_bounded(model)
    noise = random.integers(0, 256, (3, shape[1], 8, 8), dtype=np.uint8)
    for pixels in (worst_pixels(shape[1]), noise):
        np.testing.assert_array_equal(sums(model, pixels, exact=False), sums(model, pixels, exact=True))


@pytest.mark.parametrize(("channels", "group"), [(16, 4), (12, 2)])
def test_so_do_bounded_groups(channels: int, group: int) -> None:
    random = np.random.default_rng(1)
    kernel_OIhw = integers(np.abs(random.normal(size=(channels, channels // group, 3, 3))), 0)
    model = convolution(kernel_OIhw, group)
    check_bounded(model)
    pixels = worst_pixels(channels)
    np.testing.assert_array_equal(sums(model, pixels, exact=False), sums(model, pixels, exact=True))


@pytest.mark.parametrize("side", [1, 3, 5])
def test_depthwise_convolutions_are_exact_as_they_are(side: int) -> None:
    model = convolution(np.full((16, 1, side, side), 127, np.int8), group=16)
    check_bounded(model)
    pixels = worst_pixels(16)
    np.testing.assert_array_equal(sums(model, pixels, exact=False), sums(model, pixels, exact=True))


def test_weights_beyond_the_bound_are_found_and_differ_where_the_processor_saturates() -> None:
    kernel_OIhw = np.zeros((8, 4, 1, 1), np.int8)
    kernel_OIhw[3, 2:] = 127
    model = convolution(kernel_OIhw)
    with pytest.raises(ValueError, match="conv: a pair of weights adds up to 254, 128 at most"):
        check_bounded(model)
    fast, exact = (sums(model, worst_pixels(4), exact=exact) for exact in (False, True))
    assert (fast != exact).any() == onnx_runtime.saturates()


def test_pairs_are_made_in_the_kernels_order() -> None:
    """Row, column, channel: the last channel at one place pairs with the first at the next."""
    kernel_OIhw = np.zeros((1, 3, 1, 2), np.int8)
    kernel_OIhw[0, 2, 0, 0] = kernel_OIhw[0, 0, 0, 1] = 100
    assert largest_pairs(kernel_OIhw).tolist() == [200]
    kernel_OIhw[0, 0, 0, 1] = -100
    assert largest_pairs(kernel_OIhw).tolist() == [0]
    assert largest_pairs(np.array([1, 100, 100, 2, 3])[None, :, None, None]).tolist() == [102]
    assert largest_pairs(np.full((2, 1, 1, 1), -128, np.int8)).tolist() == [128, 128]


@given(
    weights=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12),
    zero=st.integers(0, 1),
)
def test_scales_grow_until_bounded_and_no_further_than_twice(weights: list[float], zero: int) -> None:
    kernel_OIhw = np.array(weights, np.float64).reshape(1, -1, 1, 1)
    least = max(float(np.abs(kernel_OIhw).max()) / (127 - zero), 1e-30)
    scale_O = bounded_scales(kernel_OIhw, np.array([least]), zero)
    found = np.rint(kernel_OIhw / scale_O[:, None, None, None]) + zero
    assert largest_pairs(found).max() <= LARGEST_PAIR
    assert least <= scale_O[0] <= 2.05 * least
    if largest_pairs(np.rint(kernel_OIhw / least) + zero).max() <= LARGEST_PAIR:
        assert scale_O[0] == least


def test_other_integer_products_are_not_taken_for_bounded() -> None:
    weights = numpy_helper.from_array(np.ones((2, 2), np.int8), "w")
    for operator, domain in (("MatMulInteger", ""), ("QGemm", "com.microsoft")):
        node = helper.make_node(operator, ["x", "w"], ["y"], name="product", domain=domain)
        graph = helper.make_graph([node], "g", [], [], [weights])
        with pytest.raises(ValueError, match=f"product: what {operator} adds is not known"):
            check_bounded(helper.make_model(graph))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["f"]),
        helper.make_node("Gemm", ["x", "f"], ["y"], name="gemm"),
    ]
    graph = helper.make_graph(
        nodes, "g", [], [], [weights, numpy_helper.from_array(np.array(1, np.float32), "s")]
    )
    with pytest.raises(ValueError, match="gemm: integer weights of Gemm"):
        check_bounded(helper.make_model(graph))


def test_the_probe_is_a_product_of_two_weights() -> None:
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = helper.make_graph(
        [node],
        "saturation",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 2])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [1, 1])],
        [numpy_helper.from_array(np.full((2, 1), 127, np.int8), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=7)
    assert base64.b64encode(model.SerializeToString()) == base64.b64encode(onnx_runtime._TWO_WEIGHTS)


def test_the_default_bundle_answers_with_the_same_bits_on_fast_and_exact_kernels(shared_data: Path) -> None:
    bundle = load(DEFAULT_BUNDLE)
    files = sorted((shared_data / "ucmerced/chips").iterdir())[::280]
    real = [decode_chip(file.read_bytes(), bundle.manifest.input) for file in files]
    chips_BHWC = np.concatenate([np.stack(real), bundle.golden.chips_GHWC])
    for member in bundle.manifest.members:
        path = bundle.graph_path(member, "int8")
        fast, exact = (
            open_session(path, exact=exact).run(None, {"chips": chips_BHWC}) for exact in (False, True)
        )
        for found, expected in zip(fast, exact, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_default_bundles_graphs_are_bounded_and_say_so() -> None:
    bundle = load(DEFAULT_BUNDLE)
    for member in bundle.manifest.members:
        assert member.graphs["int8"].bounded
        check_bounded(onnx.load(bundle.graph_path(member, "int8")))
