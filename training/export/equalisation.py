"""Exact rewritings of a float32 graph that lose less when its tensors become 8-bit integers.

Integers are fastest where a graph is nothing but convolutions, and most precise where all channels
of a tensor have the same range. Knows graphs only: no network, no chips.

Shape suffixes: C channels of a tensor, O output channels, I input channels of a group, h, w kernel.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx

from training.export.graph_edit import Floats, Graph, attributes


class Range(NamedTuple):
    """The least and the greatest value of every channel of a tensor, (C,) each."""

    low_C: Floats
    high_C: Floats


class Span(NamedTuple):
    """The least and the greatest value that a tensor's integers stand for; 0 lies between."""

    low: float
    high: float


def as_convolutions(graph: Graph) -> None:
    """Write batch norms, average pools and the scaling of the input as depthwise convolutions."""
    start = graph.nodes.index(graph.convolutions()[0])
    for at, node in enumerate(graph.nodes):
        graph.nodes[at] = (_pool_or_norm if at > start else _scaling)(graph, node) or node
    graph.index()
    _merge_scalings(graph)
    _part_activations(graph)


def _pool_or_norm(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    found = attributes(node)
    channels = graph.channels.get(node.input[0]) if node.input else None
    if node.op_type == "BatchNormalization" and channels:
        gamma_C, beta_C, mean_C, variance_C = (graph.constants[name] for name in node.input[1:])
        slope_C = gamma_C / np.sqrt(variance_C + found.get("epsilon", 1e-5))
        return graph.depthwise(
            node.input[0], node.output[0], slope_C[:, None, None, None], beta_C - mean_C * slope_C
        )
    pads = found.get("pads", [0, 0, 0, 0])
    plain = not found.get("ceil_mode") and found.get("auto_pad", b"NOTSET") == b"NOTSET"
    plain &= set(found.get("dilations", [1])) == {1}
    # A pool that leaves its padding out divides by less at the border.
    if (
        node.op_type == "AveragePool"
        and plain
        and channels
        and (found.get("count_include_pad") or not any(pads))
    ):
        shape = found["kernel_shape"]
        kernel_OIhw = np.full((channels, 1, *shape), 1 / np.prod(shape), np.float32)
        strides = found.get("strides", [1, 1])
        return graph.depthwise(
            node.input[0], node.output[0], kernel_OIhw, np.zeros(channels), pads=pads, strides=strides
        )
    return None


def _scaling(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """ONNX Runtime moves the planes' axis last, where it is slow at anything by plane but this."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.input[1] not in graph.constants:
        return None
    value = graph.constants[node.input[1]]
    channels = graph.channels.get(node.input[0])
    if value.ndim < 3 or value.shape[-3:] != (channels, 1, 1) or value.size != channels:
        return None
    value_C, slope_C, offset_C = value.ravel(), np.ones(channels), np.zeros(channels)
    match node.op_type:
        case "Add":
            offset_C = value_C
        case "Sub":
            offset_C = -value_C
        case "Mul":
            slope_C = value_C
        case "Div":
            slope_C = 1 / value_C
    return graph.depthwise(node.input[0], node.output[0], slope_C[:, None, None, None], offset_C)


def _merge_scalings(graph: Graph) -> None:
    for node in graph.nodes[: graph.nodes.index(graph.convolutions()[-1])]:
        before = graph.maker.get(node.input[0]) if node.input else None
        if before is None or not (_is_pointwise(graph, before) and _is_pointwise(graph, node)):
            continue
        if len(graph.takers[node.input[0]]) > 1:
            continue
        (first_OIhw, first_O), (kernel_OIhw, bias_O) = graph.weights(before), graph.weights(node)
        graph.set_weights(node, first_OIhw * kernel_OIhw, first_O * kernel_OIhw[:, 0, 0, 0] + bias_O)
        node.input[0] = before.input[0]
        graph.nodes.remove(before)
        graph.index()


def _is_pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    if not graph.is_depthwise(node) or graph.constants[node.input[1]].shape[2:] != (1, 1):
        return False
    return not any(attributes(node).get("pads", [])) and set(attributes(node).get("strides", [1])) == {1}


def _part_activations(graph: Graph) -> None:
    """Copy what goes into a concatenation of signed maps from where it is an activation's output.

    The concatenation's integers have their zero in the middle; those of a ReLU need it at 0, or
    the ReLU is no part of its convolution any more. The copy can be stretched, too.
    """
    for concat in [node for node in graph.nodes if node.op_type == "Concat"]:
        if not all(graph.is_depthwise(taker) for taker in graph.takers[concat.output[0]]):
            continue
        for name in concat.input:
            maker = graph.maker.get(name)  # an input and a constant have none
            if maker is None or maker.op_type == "Conv" or name not in graph.channels:
                continue
            ones_OIhw = np.ones((graph.channels[name], 1, 1, 1), np.float32)
            copy = graph.depthwise(name, f"{name}_copy", ones_OIhw, np.zeros(len(ones_OIhw)))
            for taker in graph.takers[name]:
                taker.input[list(taker.input).index(name)] = copy.output[0]
            graph.nodes.insert(graph.nodes.index(maker) + 1, copy)
            graph.index()


def stretch(graph: Graph, ranges: Mapping[str, Range], spans: Mapping[str, Span]) -> None:
    """Scale the channels that only depthwise convolutions take to their tensor's whole span.

    What a convolution makes larger, the next makes smaller; no answer changes. Through a ReLU
    only a factor passes, and where zeros are padded, too.

    Args:
        graph: is changed.
        ranges: every tensor's, at least those of `spans`.
        spans: of the tensors that will be integers.

    Source: Nagel, van Baalen, Blankevoort, Welling 2019, "Data-free quantization through weight
    equalization and bias correction", for channels that depthwise convolutions take.
    """
    widths = {name: len(range_.low_C) for name, range_ in ranges.items()}
    for node in graph.convolutions():
        name, movable = node.output[0], True
        while [taker.op_type for taker in graph.takers[name]] in (["Relu"], ["MaxPool"]):
            movable &= graph.takers[name][0].op_type != "Relu"
            name = graph.takers[name][0].output[0]
        landings = _landings(graph, name, 0, widths) if name in spans else None
        if not landings:
            continue
        movable &= not any(any(attributes(taker).get("pads", [])) for taker, _ in landings)
        factor_C, shift_C = _fit(ranges[name], spans[name], movable)
        kernel_OIhw, bias_O = graph.weights(node)
        graph.set_weights(node, kernel_OIhw * factor_C[:, None, None, None], bias_O * factor_C + shift_C)
        for taker, start in landings:
            kernel_OIhw, bias_O = (np.array(part, np.float64) for part in graph.weights(taker))
            rows = slice(start, start + len(factor_C))
            kernel_OIhw[rows] /= factor_C[:, None, None, None]
            bias_O[rows] -= kernel_OIhw[rows].sum(axis=(1, 2, 3)) * shift_C
            graph.set_weights(taker, kernel_OIhw, bias_O)


def _fit(found: Range, span: Span, movable: bool) -> tuple[Floats, Floats]:
    """Return the factors and shifts (C,) that bring each channel to the span."""
    low_C, high_C = (side.astype(np.float64) for side in found)
    if movable:
        width_C = high_C - low_C
        flat_C = width_C <= 1e-9 * (span.high - span.low)
        factor_C = np.where(flat_C, 1.0, (span.high - span.low) / np.where(flat_C, 1.0, width_C))
        return factor_C, np.where(flat_C, 0.0, span.low - low_C * factor_C)
    limits = [
        np.where(side_C * end > 0, end / np.where(side_C * end > 0, side_C, 1.0), np.inf)
        for side_C, end in ((low_C, span.low), (high_C, span.high))
    ]
    factor_C = np.minimum(*limits)
    return np.where(np.isfinite(factor_C), factor_C, 1.0), np.zeros(len(factor_C))


def _landings(
    graph: Graph, name: str, start: int, widths: Mapping[str, int]
) -> list[tuple[onnx.NodeProto, int]] | None:
    """Return the depthwise convolutions that take a tensor.

    Each comes with the channel at which the tensor begins there. None where anything else takes
    the tensor.
    """
    found: list[tuple[onnx.NodeProto, int]] = []
    for taker in graph.takers[name]:
        names = list(taker.input)
        if graph.is_depthwise(taker):
            found.append((taker, start))
        elif (
            taker.op_type == "Concat"
            and attributes(taker)["axis"] == 1
            and taker.output[0] in widths
            and names.count(name) == 1
        ):
            before = sum(widths[other] for other in names[: names.index(name)])
            deeper = _landings(graph, taker.output[0], start + before, widths)
            if deeper is None:
                return None
            found += deeper
        else:
            return None
    return found
