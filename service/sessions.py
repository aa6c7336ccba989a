"""Graph files → ONNX Runtime sessions that run where they were told to.

ONNX Runtime falls back to the CPU in silence and takes any graph; this module refuses both.
Knows one graph at a time: no members, no votes.
"""

from pathlib import Path
from typing import Literal

import onnxruntime as ort

from service.bundle import InputSpec
from service.errors import BundleError, DeviceError

Device = Literal["cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"


def require_cuda() -> None:
    """Make the CUDA libraries findable.

    Raises:
        DeviceError: this build of ONNX Runtime cannot use CUDA at all.
    """
    if _CUDA not in ort.get_available_providers():
        raise DeviceError(
            "this ONNX Runtime is built without CUDA; install the extra `gpu` instead of `cpu`, "
            "or set CHIPVOTE_DEVICE=cpu"
        )
    # They come as Python packages, which the loader does not search by itself.
    ort.preload_dlls()


def open_session(path: Path, device: Device, threads: int) -> ort.InferenceSession:
    """Load one graph.

    Raises:
        DeviceError: CUDA does not come up, or has no kernel for some part of the graph.
        BundleError: the file is no graph that this ONNX Runtime can run.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only; everything that matters raises
    options.intra_op_num_threads = threads
    # Every member has its own thread pool, and the idle threads of one would spin on the
    # cores that the next one needs: off, three ResNet-18 on two cores answer twice as fast.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    provider: str | tuple[str, dict[str, str]] = "CPUExecutionProvider"
    if device == "cuda":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        provider = (_CUDA, {"cudnn_conv_algo_search": "HEURISTIC"})
    try:
        session = ort.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        reason = " ".join(str(error).split())
        if device == "cuda":
            raise DeviceError(
                f"{path}: does not run wholly on cuda ({reason}); check the driver, "
                "or set another CHIPVOTE_PRECISION or CHIPVOTE_DEVICE=cpu"
            ) from error
        raise BundleError(f"{path}: no usable graph ({reason}); export the bundle again") from error
    if device == "cuda" and session.get_providers()[0] != _CUDA:
        raise DeviceError(f"{path}: CUDA did not come up; check the driver, or set CHIPVOTE_DEVICE=cpu")
    return session


def check_graph(session: ort.InferenceSession, path: Path, spec: InputSpec, labels: int) -> None:
    """Compare a graph's inputs and outputs with the manifest; the first axis must be free.

    Raises:
        BundleError: names the file and what differs.
    """
    wanted = {
        "input chips": (f"tensor({spec.dtype})", [None, spec.height, spec.width, len(spec.bands)]),
        "output probabilities": ("tensor(float)", [None, labels]),
        "output evidence": ("tensor(float)", [None, labels, None, None]),
    }
    found = {f"input {node.name}": node for node in session.get_inputs()}
    unknown = found.keys() - wanted.keys()
    if unknown:
        raise BundleError(f"{path}: {', '.join(unknown)} is not expected; export the bundle again")
    found |= {f"output {node.name}": node for node in session.get_outputs()}
    for name, (dtype, shape) in wanted.items():
        node = found.get(name)
        if node is None or node.type != dtype or not _fits(node.shape, shape):
            there = f"{node.type} {node.shape}" if node else "missing"
            raise BundleError(f"{path}: {name} is {there}, must be {dtype} {shape}; export the bundle again")


def _fits(found: list[int | str | None], wanted: list[int | None]) -> bool:
    if len(found) != len(wanted) or isinstance(found[0], int):
        return False
    return all(size is None or size == there for there, size in zip(found, wanted, strict=True))
