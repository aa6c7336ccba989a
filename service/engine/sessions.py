"""Graph files → ONNX Runtime sessions that run where they were told to.

ONNX Runtime falls back to the CPU in silence and takes any graph; this module refuses both. On
CUDA it runs float32 and float16 graphs as `training/export/graphs.py` writes them: every node has a
kernel there, and none computes shapes, which ONNX Runtime would place on the CPU. int8 graphs have
none for their quantised convolutions and are refused.

Knows one graph at a time: no members, no votes.
"""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import onnxruntime as ort

from service.contract.errors import BundleError, DeviceError
from service.contract.manifest import InputSpec
from service.contract.onnx_runtime import CPU, Provider, open_session

Device = Literal["cpu", "cuda"]

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_ADVICE = (
    "check the driver, free the GPU's memory, raise CHIPVOTE_GPU_MEMORY_BYTES if it is set, and where "
    "CHIPVOTE_TENSORRT is set, install TensorRT's libraries or unset it"
)


class Gpu(NamedTuple):
    """How sessions use a GPU."""

    memory_bytes: int = 0  # that all sessions together may take; 0: as much as there is
    graphs: bool = True  # able to record CUDA graphs
    tensorrt: Path | None = None  # folder for the engines that TensorRT builds; None: no TensorRT
    nhwc: bool = False  # convolutions on channels-last data
    half: bool = False  # TensorRT may compute in half precision
    largest: tuple[int, ...] = ()  # (B,H,W,C) of the largest batch that TensorRT is for

    @property
    def records(self) -> bool:
        """Whether CUDA graphs can be recorded: each session then needs memory of its own."""
        return self.graphs and not self.memory_bytes and self.tensorrt is None


def require_cuda(gpu: Gpu = Gpu()) -> None:  # noqa: B008
    """Make the CUDA libraries findable, and cap the sessions' GPU memory if asked to.

    The cap is one for all sessions of this process. A cap of each session's own would have to leave
    room in every one for the activations of the largest batch. Under a common one they take turns
    in the same memory; only the weights add up. What the driver and cuDNN take for themselves, some
    hundred MB, comes on top.

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
    if not gpu.memory_bytes:
        return
    place = ort.OrtMemoryInfo("Cuda", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    arena = ort.OrtArenaCfg({"max_mem": gpu.memory_bytes, "arena_extend_strategy": 1})  # 1: as requested
    try:
        ort.create_and_register_allocator_v2(_CUDA, place, {}, arena)
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        raise DeviceError(f"CUDA did not come up ({_reason(error)}); {_ADVICE}") from error


def open_on(
    device: Device,
    path: Path,
    threads: int,
    gpu: Gpu = Gpu(),  # noqa: B008
    *,
    exact: bool = False,
    data: bytes | None = None,
) -> ort.InferenceSession:
    """Load one graph.

    Args:
        device: where it runs.
        path: its file.
        threads: that share the work of one run.
        gpu: how sessions use a GPU.
        exact: as `open_session` knows it.
        data: what is in the file, where that was read already.

    Raises:
        DeviceError: CUDA or TensorRT does not come up, or has no kernel for some part of the graph.
        BundleError: the file is no graph that this ONNX Runtime can run.
    """
    providers: list[Provider] = [(CPU, {})]
    if device == "cpu":
        _share_memory()
        entries = {"session.use_env_allocators": "1"}
    else:
        threads = 1
        entries = {
            "session.disable_cpu_ep_fallback": "1",
            "session.use_env_allocators": str(int(gpu.memory_bytes > 0)),
        }
        providers = _gpu_providers(path, gpu)
    try:
        session = open_session(
            data or path, threads=threads, exact=exact, providers=providers, entries=entries
        )
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        if device == "cuda":
            raise DeviceError(
                f"{path}: does not run wholly on cuda ({_reason(error)}); {_ADVICE}, or set another "
                "CHIPVOTE_PRECISION or CHIPVOTE_DEVICE=cpu"
            ) from error
        raise BundleError(f"{path}: no usable graph ({_reason(error)}); export the bundle again") from error
    wanted, found = providers[0][0], session.get_providers()[0]
    if found != wanted:
        raise DeviceError(f"{path}: {wanted} did not come up, {found} would run it; {_ADVICE}")
    return session


@cache
def _share_memory() -> None:
    """Let this process's sessions on the CPU take turns in the same memory for their activations.

    Each member has its own otherwise: fifteen then take twice what they take together. What asks
    for more than the machine has is refused at once: its failure would make later requests larger.
    """
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": memory_bytes}))


def _gpu_providers(path: Path, gpu: Gpu) -> list[Provider]:
    """Return the providers for one graph, the one that must come up first."""
    cuda = {
        "cudnn_conv_algo_search": "HEURISTIC",  # the default tries every algorithm, for every size
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles
        "use_tf32": "0",  # 10 bits of mantissa are too few for float32's golden answers
        "enable_cuda_graph": str(int(gpu.records)),
        "prefer_nhwc": str(int(gpu.nhwc)),
    }
    if gpu.tensorrt is None:
        return [(_CUDA, cuda)]
    with path.open("rb") as stream:
        # TensorRT names an engine by its graph's nodes, which other weights share.
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    smallest, largest = (
        f"chips:{'x'.join(map(str, (batch, *gpu.largest[1:])))}" for batch in (1, gpu.largest[0])
    )
    tensorrt = {
        "trt_fp16_enable": str(int(gpu.half)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(gpu.tensorrt / content[:16]),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(gpu.tensorrt),
        "trt_profile_min_shapes": smallest,
        "trt_profile_opt_shapes": largest,
        "trt_profile_max_shapes": largest,
    }
    return [(_TENSORRT, tensorrt), (_CUDA, cuda)]


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[max(text.find("CUDA failure"), 0) :]  # before it, C++ says where it was


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
