"""Weights whose sums of products fit 16 bits: int8 graphs then answer the same on all processors.

x86 without VNNI multiplies unsigned by signed bytes, adds the products in pairs and keeps 16 bits
of each sum: beyond 32767 it is cut off. The sum is 255·|w₁ + w₂| at most, or below 255·128 where
the weights' signs differ; so nothing is ever cut off where the two weights of every pair add up to
128 at most. Kernels take a filter's weights by row, column and input channel, the first with the
second, the third with the fourth. Depthwise convolutions widen before they add.

Knows weights and ONNX: no network, no data set.

Shape suffixes: O output channels, I input channels of a group, h, w kernel, K products of a sum.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from training.export.graph_edit import Floats, Graph, is_depthwise

LARGEST_PAIR = 128  # 255 · 128 = 32640, and 16 bits hold 32767

# What takes bytes and adds their products, beside convolutions between a pair of (de)quantisations.
_OTHER_SUMS = (
    "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat",
    "QAttention", "QGemm", "QLinearConv", "QLinearMatMul",
)  # fmt: skip


def largest_pairs(kernel_OIhw: npt.NDArray[np.number[Any]]) -> npt.NDArray[np.int64]:
    """Return the largest |w₁ + w₂| of integer weights in pairs, an odd last one alone: (O,)."""
    weights_OK = kernel_OIhw.transpose(0, 2, 3, 1).reshape(len(kernel_OIhw), -1).astype(np.int64)
    last_alone = ((0, 0), (0, weights_OK.shape[1] % 2))
    pairs_OK2 = np.pad(weights_OK, last_alone).reshape(len(weights_OK), -1, 2)
    largest_O: npt.NDArray[np.int64] = np.abs(pairs_OK2.sum(axis=2)).max(axis=1)
    return largest_O


def bounded_scales(kernel_OIhw: Floats, scale_O: Floats, zero: int) -> Floats:
    """Enlarge each channel's scale until its integer weights are bounded.

    In one step, but where rounding takes a pair beyond the bound again.

    Args:
        kernel_OIhw: the weights.
        scale_O: their least scales, as float32 holds them.
        zero: the integers' zero point.
    """
    while True:
        integers_OIhw = np.rint(kernel_OIhw / scale_O[:, None, None, None]) + zero
        excess_O = largest_pairs(integers_OIhw) / LARGEST_PAIR
        if (excess_O <= 1).all():
            return scale_O
        scale_O = (scale_O * np.maximum(excess_O, 1)).astype(np.float32).astype(np.float64)


def check_bounded(model: onnx.ModelProto) -> None:
    """Look at every integer weight of a graph.

    Raises:
        ValueError: names a node whose sums could be cut off, or of which that is not known.
    """
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type in _OTHER_SUMS:
            raise ValueError(f"{node.name}: what {node.op_type} adds is not known to be bounded")
        if not any(_is_integers(graph, name) for name in node.input[1:2]):
            continue
        if node.op_type != "Conv":
            raise ValueError(f"{node.name}: integer weights of {node.op_type} are not known to be bounded")
        kernel_OIhw = graph.constants[graph.maker[node.input[1]].input[0]]
        largest = int(largest_pairs(kernel_OIhw).max())
        if largest > LARGEST_PAIR and not is_depthwise(node, kernel_OIhw):
            raise ValueError(
                f"{node.name}: a pair of weights adds up to {largest}, {LARGEST_PAIR} at most are "
                "exact on every processor; quantise with bounded scales"
            )


def _is_integers(graph: Graph, name: str) -> bool:
    maker = graph.maker.get(name)
    return maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in graph.constants
