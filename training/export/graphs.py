"""A trained network → ONNX graphs: float32 by PyTorch's exporter, float16 and int8 from that.

Every graph takes `chips` uint8 or uint16 (B,H,W,C) and gives `probabilities` float32 (B,L) and
`evidence` float32 (B,L,h,w). Knows no data set, no bundle, no thresholds.

Shape suffixes: B chips, H height, W width, C bands.
"""

import itertools
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from service.contract.manifest import EVIDENCE, INPUT, PROBABILITIES, InputSpec, Pixel, Precision
from service.contract.onnx_runtime import open_session
from service.contract.processors import processors
from training.export.quantisation import quantise
from training.export.saturation import check_bounded
from training.network.model import ExportNet

log = logging.getLogger(__name__)

OPSET = 20
BATCH = 16
FLOAT_CONVOLUTIONS = (0, 5)  # of an int8 graph, to be tried in turn
MAX_ROUNDING = 0.008  # of int8 probabilities, root mean square


def write_float32(net: ExportNet, spec: InputSpec, path: Path) -> None:
    """Export the network in one file."""
    example_BHWC = torch.from_numpy(np.zeros((2, spec.height, spec.width, len(spec.bands)), spec.dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing about this graph
        torch.onnx.export(
            net.eval(),
            (example_BHWC,),
            path,
            input_names=[INPUT],
            output_names=[PROBABILITIES, EVIDENCE],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1, max=4096)}},
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def write_float16(float32: Path, path: Path) -> None:
    """Halve a float32 graph; its input and outputs keep their types, resizing its precision.

    So does all before the first convolution where the input is uint16: half precision holds
    such values to 11 bits, and the highest not at all.
    """
    model = onnx.load(float32)
    raw = model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT16
    before = itertools.takewhile(lambda node: node.op_type != "Conv", model.graph.node)
    model = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=["Resize"],
        node_block_list=[node.name for node in before] if raw else [],
    )
    if raw:
        # Between nodes that stay float32, the converter still halves and widens.
        OnnxModel(model).remove_cascaded_cast_nodes()
    # The converter appends its casts at the end, which the ONNX standard forbids.
    OnnxModel.graph_topological_sort(model.graph)
    onnx.save(model, path)


def write_int8(float32: Path, path: Path, calibration_BHWC: npt.NDArray[Pixel]) -> None:
    """Quantise a float32 graph's convolutions, with ranges from real chips.

    The head, the last convolution, and all after it stay float32: the evidence still adds up to the
    logit. So do the first convolutions of a network whose answers would change too much without,
    and less with them: there the channels differ in range by a factor of a hundred, which later
    layers undo.
    """
    feeds = [{INPUT: part} for part in batches(calibration_BHWC)]
    with tempfile.TemporaryDirectory() as scratch:
        folded = Path(scratch) / "folded.onnx"
        quant_pre_process(float32, folded, skip_symbolic_shape=True)
        model = onnx.load(folded)
    probs_BL = _probabilities(model, feeds)
    least = np.inf
    for count in FLOAT_CONVOLUTIONS:
        quantised = quantise(model, feeds, float32=count)
        rounding = float(np.sqrt(np.mean((_probabilities(quantised, feeds) - probs_BL) ** 2)))
        log.info("%s: %d first convolutions in float32 move answers by %.4f rms", path.name, count, rounding)
        if rounding < least:
            least, best = rounding, quantised
        if rounding <= MAX_ROUNDING:
            break
    check_bounded(best)
    onnx.save(best, path)


def _probabilities(
    model: onnx.ModelProto, feeds: list[dict[str, npt.NDArray[Pixel]]]
) -> npt.NDArray[np.float32]:
    session = open_session(model.SerializeToString(), threads=processors())
    return np.concatenate([session.run([PROBABILITIES], feed)[0] for feed in feeds])


def convert(float32: Path, precision: Precision, path: Path, calibration_BHWC: npt.NDArray[Pixel]) -> None:
    """Write a float32 graph at the asked precision."""
    match precision:
        case "float32":
            shutil.copyfile(float32, path)
        case "float16":
            write_float16(float32, path)
        case "int8":
            write_int8(float32, path, calibration_BHWC)


def batches(chips_BHWC: npt.NDArray[Pixel]) -> Iterator[npt.NDArray[Pixel]]:
    """Yield the chips in parts that a graph takes at once."""
    for start in range(0, len(chips_BHWC), BATCH):
        yield chips_BHWC[start : start + BATCH]
