"""A float32 graph of convolutions → the same graph in 8-bit integers, in ONNX's QDQ form.

Activations are uint8, weights int8 with one scale per output channel, wide enough that no sum of
products is cut off on any processor (`saturation.py`). All from the first convolution to the last
but one is integers, and no conversion is left between two of them. Knows ONNX and what ONNX Runtime
is fast at: no network, no data set.

Shape suffixes: O output channels, I input channels of a group, h, w kernel.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.contract.onnx_runtime import open_session
from service.contract.processors import processors
from training.export.equalisation import Range, Span, as_convolutions, stretch
from training.export.graph_edit import Graph
from training.export.saturation import bounded_scales

LARGEST_BIAS = 2.0**30  # leaves a sum of products as much room in 32 bits
GEMM_INPUTS, GEMM_OUTPUTS = 512, 128  # from which many on matrix products are faster than direct convolution

Feed = Mapping[str, npt.NDArray[Any]]


def quantise(model: onnx.ModelProto, feeds: Iterable[Feed], *, float32: int) -> onnx.ModelProto:
    """Return the model with integer convolutions, but for the first ones and the last, the head.

    Args:
        model: float32, with its tensors' shapes, constants folded.
        feeds: real inputs; what comes of them sets every tensor's range.
        float32: how many of the first convolutions stay as they are.
    """
    graph = Graph(model)
    first = graph.convolutions()[float32:-1][:1]
    if not first:
        return model
    as_convolutions(graph)
    convolutions = graph.convolutions()
    chosen = {node.name for node in convolutions[convolutions.index(first[0]) : -1]}
    groups = _groups(graph, chosen)
    ranges = observe(graph, groups, feeds)
    spans = _spans(groups, ranges)
    stretch(graph, ranges, spans)
    _insert_pairs(graph, chosen, spans)
    return graph.build()


def observe(graph: Graph, names: Iterable[str], feeds: Iterable[Feed]) -> dict[str, Range]:
    """Run the graph on all feeds and return the named tensors' ranges."""
    names = list(names)
    model = graph.build()
    del model.graph.output[:]
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "all_but_channels"))
    for name in names:
        for kind in ("Min", "Max"):
            inputs, output = [name, "all_but_channels"], f"{name}_{kind}"
            model.graph.node.append(helper.make_node(f"Reduce{kind}", inputs, [output], keepdims=0))
            model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    session = open_session(model.SerializeToString(), threads=processors())
    found = [session.run(None, dict(feed)) for feed in feeds]
    columns = list(zip(*found, strict=True))
    ends = zip(columns[::2], columns[1::2], strict=True)
    return {
        name: Range(np.min(low, axis=0), np.max(high, axis=0))
        for name, (low, high) in zip(names, ends, strict=True)
    }


def _groups(graph: Graph, chosen: set[str]) -> dict[str, str]:
    """Return the tensors that become integers, each with the name of the group that shares a scale.

    With one scale for all inputs and outputs, a concatenation or a maximum only moves bytes.
    """
    groups: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in chosen:
            groups |= {name: name for name in (node.input[0], _activated(graph, node))}
        elif node.op_type in ("Concat", "MaxPool") and all(name in groups for name in node.input):
            groups[node.output[0]] = node.output[0]
    for node in reversed(graph.nodes):
        if node.op_type == "Concat" and node.output[0] in groups:
            groups = {name: name for name in node.input} | groups
    for node in graph.nodes:
        names = (*node.input, node.output[0])
        if node.op_type in ("Concat", "MaxPool") and all(name in groups for name in names):
            joined = {groups[name] for name in names}
            groups = {name: min(joined) if group in joined else group for name, group in groups.items()}
    return groups


def _activated(graph: Graph, node: onnx.NodeProto) -> str:
    """Return a convolution's output, after the activation that ONNX Runtime makes part of it."""
    takers = graph.takers[node.output[0]]
    activation = len(takers) == 1 and takers[0].op_type in ("Relu", "Clip")
    return str(takers[0].output[0] if activation else node.output[0])


def _spans(groups: Mapping[str, str], ranges: Mapping[str, Range]) -> dict[str, Span]:
    low = dict.fromkeys(groups.values(), 0.0)
    high = dict.fromkeys(groups.values(), 0.0)
    for name, group in groups.items():
        low[group] = min(low[group], float(ranges[name].low_C.min()))
        high[group] = max(high[group], float(ranges[name].high_C.max()))
    return {name: Span(low[group], high[group]) for name, group in groups.items()}


def _insert_pairs(graph: Graph, chosen: set[str], spans: Mapping[str, Span]) -> None:
    """Round every tensor once, behind its maker, and every chosen convolution's weights."""
    nodes = _pair(graph, spans, [*(info.name for info in graph.model.graph.input), *graph.constants])
    for node in graph.nodes:
        if node.name in chosen:
            nodes += _quantised_weights(graph, node, _uint8(spans[node.input[0]])[0])
        for index, name in enumerate(node.input):
            if name in spans:
                node.input[index] = f"{name}_dequantised"
        nodes += [node, *_pair(graph, spans, node.output)]
    graph.nodes = nodes
    graph.index()


def _pair(graph: Graph, spans: Mapping[str, Span], names: Iterable[str]) -> list[onnx.NodeProto]:
    nodes = []
    for name in [name for name in names if name in spans]:
        scale, zero = _uint8(spans[name])
        numbers = [
            graph.constant(f"{name}_scale", np.float32(scale)),
            graph.constant(f"{name}_zero", np.uint8(zero)),
        ]
        nodes.append(helper.make_node("QuantizeLinear", [name, *numbers], [f"{name}_quantised"]))
        nodes.append(_dequantised(f"{name}_quantised", numbers, f"{name}_dequantised"))
    return nodes


def _uint8(span: Span) -> tuple[float, int]:
    """Return the scale and the zero point."""
    scale = float(np.float32(max((span.high - span.low) / 255, 1e-30)))
    return scale, round(-span.low / scale)


def _quantised_weights(graph: Graph, node: onnx.NodeProto, input_scale: float) -> list[onnx.NodeProto]:
    """Put integers in the place of a convolution's weights; return what turns them back."""
    kernel_OIhw, bias_O = (np.asarray(part, np.float64) for part in graph.weights(node))
    zero = _weights_zero(kernel_OIhw.shape)
    scale_O = np.abs(kernel_OIhw).max(axis=(1, 2, 3)) / (127 - zero)
    # A channel that is nearly constant has a bias beyond 32 bits of its tiny weights' scale.
    scale_O = np.maximum(scale_O, np.maximum(np.abs(bias_O) / (input_scale * LARGEST_BIAS), 1e-30))
    scale_O = scale_O.astype(np.float32).astype(np.float64)
    if not graph.is_depthwise(node):
        scale_O = bounded_scales(kernel_OIhw, scale_O, zero)
    integers = {
        "kernel": (np.rint(kernel_OIhw / scale_O[:, None, None, None]) + zero, np.int8, scale_O, zero),
        "bias": (np.rint(bias_O / (input_scale * scale_O)), np.int32, input_scale * scale_O, 0),
    }
    name, nodes = node.output[0], []
    del node.input[1:]
    for part, (value, kind, scales_O, zero_point) in integers.items():
        numbers = [
            graph.constant(f"{name}_{part}_scale", scales_O.astype(np.float32)),
            graph.constant(f"{name}_{part}_zero", np.full(len(scales_O), zero_point, kind)),
        ]
        quantised = graph.constant(f"{name}_{part}_quantised", value.astype(kind))
        nodes.append(_dequantised(quantised, numbers, f"{name}_{part}_dequantised"))
        node.input.append(f"{name}_{part}_dequantised")
    return nodes


def _weights_zero(shape: tuple[int, ...]) -> int:
    """Return the weights' zero point, which chooses between two kernels of ONNX Runtime.

    At 0 it convolves directly; otherwise it gathers pixels and multiplies matrices, which can use
    a processor's matrix unit. On one with AMX that is up to twice as fast for many sums of many
    products, and half as fast for others.
    """
    return int(shape[0] >= GEMM_OUTPUTS and np.prod(shape[1:]) >= GEMM_INPUTS)


def _dequantised(source: str, numbers: list[str], target: str) -> onnx.NodeProto:
    # The axis counts for weights alone: everything else has one scale.
    return helper.make_node("DequantizeLinear", [source, *numbers], [target], axis=0)
