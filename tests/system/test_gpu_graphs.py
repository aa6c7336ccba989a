"""What an exported graph may hold, so that an NVIDIA GPU runs the whole of it.

The service opens no session on a GPU of which ONNX Runtime would place a node on the CPU. It does
so with operators that have no CUDA kernel, and with those that compute shapes.
"""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="graphs are exported here, which needs PyTorch")

import onnx

from benchmarks.harness.random_bundle import input_spec, random_net
from service.contract.bundle import Bundle
from service.contract.manifest import Precision
from tests.kit import networks
from training.export.graphs import OPSET, write_float16, write_float32

# Operators of this version of ONNX that ONNX Runtime 1.31 places on CUDA in float32 and float16
# (and Cast and Transpose in uint8 and uint16); look there before a new version or operator.
ON_CUDA_IN_OPSET = 20
ON_CUDA = frozenset(
    [
        *("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Div", "GatherND"),
        *("GreaterOrEqual", "MaxPool", "Mul", "Neg", "ReduceMean", "ReduceMin", "Relu", "Reshape", "Resize"),
        *("Sigmoid", "Slice", "Softmax", "Squeeze", "Sub", "TopK", "Transpose", "Unsqueeze"),
    ]
)
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")


def operators(path: Path) -> set[str]:
    model = onnx.load(path)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", ON_CUDA_IN_OPSET)]
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_trained_bundles_graphs_run_wholly_on_a_gpu(
    tmp_path_factory: pytest.TempPathFactory, precision: Precision
) -> None:
    bundle: Bundle = networks.exported(tmp_path_factory.getbasetemp())[1]
    found = [operators(bundle.graph_path(member, precision)) for member in bundle.manifest.members]
    assert set.union(*found) <= ON_CUDA
    assert "Resize" in set.union(*found)
    assert OPSET == ON_CUDA_IN_OPSET


@pytest.mark.slow
def test_a_densenets_graphs_run_wholly_on_a_gpu(tmp_path: Path) -> None:
    """It has what the tiny networks lack: concatenations, pooling by averages, lone batch norms."""
    float32, float16 = tmp_path / "float32.onnx", tmp_path / "float16.onnx"
    write_float32(random_net("densenet121", 64), input_spec(64), float32)
    write_float16(float32, float16)
    for path in (float32, float16):
        assert {"AveragePool", "BatchNormalization", "Concat"} <= operators(path) <= ON_CUDA
