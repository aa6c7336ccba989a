"""The members on an NVIDIA GPU: fixed buffers, few batch sizes, launches recorded once.

A batch is padded to one of few sizes, because cuDNN plans its convolutions anew for every size
it meets. Each size has one input and one output buffer on the device, shared by all members and
filled once for all of them. Small batches spend more time launching kernels than running them:
their launches are recorded as a CUDA graph when the service starts, and replayed as one. A replay
writes to the addresses of its recording; so every size runs before the first recording, and each
recording must answer like the plain run on chips it was not recorded with.

Chips are copied before the members run, not meanwhile: ONNX Runtime's Python interface copies on
no stream of its own.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

import ctypes
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.contract.errors import DeviceError
from service.contract.manifest import EVIDENCE, INPUT, PROBABILITIES, Pixel

logger = logging.getLogger("chipvote")

GRAPH_BATCH = 16  # largest batch whose launches are recorded
REPLAY_TOLERANCE = 1e-3  # of a probability; the kernels are the same, so are the sums
_PLAIN = "-1"  # the run option's word for: neither record nor replay

OpenSessions = Callable[[bool], Sequence[ort.InferenceSession]]


class CudaRunner:
    """Sessions, and the buffers of every batch size."""

    def __init__(self, open_sessions: OpenSessions, *, graphs: bool, place: str = "cuda") -> None:
        """Open the members' sessions.

        Args:
            open_sessions: opens one session per member, able to record CUDA graphs or not.
            graphs: record the launches of small batches.
            place: where ONNX Runtime puts the buffers.
        """
        self._open_sessions, self._graphs, self._place = open_sessions, graphs, place
        self._sessions = open_sessions(graphs)
        self._buffers: dict[int, _Buffers] = {}  # by batch size
        self._recorded: set[int] = set()  # batch sizes
        self._recorder = 0  # thread

    at_once = None  # the larger a batch, the better

    def lanes(self) -> list["CudaRunner"]:
        """Return itself: one thread owns a device."""
        return [self]

    def load(self, chips_BHWC: npt.NDArray[Pixel]) -> "CudaBatch":
        """Copy chips to the device, over the last ones of this batch size."""
        size = padded(len(chips_BHWC))
        if size not in self._buffers:
            # What kernels keep for a new size may lie where a recording writes.
            self._recorded.clear()
            shape_BHWC = (size, *chips_BHWC.shape[1:])
            self._buffers[size] = _Buffers(self._sessions, shape_BHWC, chips_BHWC.dtype, self._place)
        buffers = self._buffers[size]
        buffers.fill(chips_BHWC)
        # ONNX Runtime keeps recordings by thread: another thread would record anew, unchecked.
        replay = size in self._recorded and threading.get_ident() == self._recorder
        options = _options(str(size) if replay else _PLAIN)
        return CudaBatch(self._sessions, buffers, len(chips_BHWC), options)

    def warm_up(self, shape_HWC: tuple[int, int, int], dtype: str, max_batch: int) -> None:
        """Run every batch size that `padded` makes, then record the small ones.

        Raises:
            DeviceError: a batch does not run, most likely for lack of memory.
        """
        # The largest first: memory then grows once.
        sizes = sorted({padded(count) for count in range(1, max_batch + 1)}, reverse=True)
        self._run_all(sizes, shape_HWC, dtype)
        if not self._graphs:
            return
        trouble = self._record_all([size for size in sizes if size <= GRAPH_BATCH], shape_HWC, dtype)
        if trouble is None:
            logger.info("CUDA graphs: on, for batches of up to %d chips", GRAPH_BATCH)
            return
        logger.info("CUDA graphs: off, because %s", trouble)
        # A recording that broke off leaves its session's stream in an unknown state. Nothing may
        # keep the old sessions and their memory when the new ones open: no buffers, and no
        # exception's frames.
        self._graphs = False
        self._buffers.clear()
        self._recorded.clear()
        self._sessions = ()
        self._sessions = self._open_sessions(False)
        self._run_all(sizes, shape_HWC, dtype)

    def _run_all(self, sizes: Sequence[int], shape_HWC: tuple[int, int, int], dtype: str) -> None:
        # Twice: ONNX Runtime lays memory out anew after a size's first run, and the largest must
        # still find room when smaller ones have been there.
        for size in (*sizes, *sizes):
            try:
                loaded = self.load(np.zeros((size, *shape_HWC), dtype))
                for member in self._members:
                    loaded.run(member)
                # What these runs keep must be there before a recording, too.
                for member in self._members:
                    loaded.explain(member)
            except Exception as error:
                reason = " ".join(str(error).split())
                raise DeviceError(
                    f"a batch of {size} chips does not run on the GPU ({reason}); free its memory, raise "
                    "CHIPVOTE_GPU_MEMORY_BYTES if it is set, or lower CHIPVOTE_MAX_BATCH"
                ) from error

    def _record_all(self, sizes: Sequence[int], shape_HWC: tuple[int, int, int], dtype: str) -> str | None:
        """Record batch sizes; return what went wrong, None if nothing did."""
        try:
            for size in sizes:
                self._record(size, shape_HWC, dtype)
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            return " ".join(str(error).split())
        return None

    def _record(self, size: int, shape_HWC: tuple[int, int, int], dtype: str) -> None:
        """Record a batch size with some chips, and replay it with others."""
        random = np.random.default_rng(size)
        batches = random.integers(
            0, np.iinfo(dtype).max, (2, size, *shape_HWC), np.dtype(dtype), endpoint=True
        )
        plain = [self._run_members(chips_BHWC) for chips_BHWC in batches]
        self._recorded.add(size)
        self._recorder = threading.get_ident()
        replayed = [self._run_members(chips_BHWC) for chips_BHWC in batches]
        off = float(np.abs(np.subtract(replayed, plain)).max())
        if not off <= REPLAY_TOLERANCE:  # also false for a NaN
            raise RuntimeError(
                f"a recording of {size} chips answers otherwise than a plain run, by {off:.2g}"
            )

    def _run_members(self, chips_BHWC: npt.NDArray[Pixel]) -> list[npt.NDArray[np.float32]]:
        loaded = self.load(chips_BHWC)
        return [loaded.run(member) for member in self._members]

    @property
    def _members(self) -> range:
        return range(len(self._sessions))


@dataclass(frozen=True, slots=True)
class CudaBatch:
    """Chips on the device, until the next ones of their batch size."""

    sessions: Sequence[ort.InferenceSession]
    buffers: "_Buffers"
    count: int  # of the chips; the rest of the buffers is padding
    options: ort.RunOptions  # whether to replay a recording

    def run(self, member: int) -> npt.NDArray[np.float32]:
        """Run one member: float32 (B,L)."""
        self.sessions[member].run_with_iobinding(self.buffers.bindings[member], self.options)
        return self.buffers.answers(self.count)

    def explain(self, member: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run one member: probabilities (B,L) and evidence (B,L,h,w), float32.

        Never recorded: who wants an explanation is not in a hurry.
        """
        chips = {INPUT: self.buffers.host_BHWC}
        found = self.sessions[member].run([PROBABILITIES, EVIDENCE], chips, _options(_PLAIN))
        return found[0][: self.count], found[1][: self.count]


def _options(recording: str) -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", recording)
    return options


class _Buffers:
    """The buffers of one batch size, at addresses that stay."""

    def __init__(
        self,
        sessions: Sequence[ort.InferenceSession],
        shape_BHWC: tuple[int, ...],
        dtype: np.dtype[Any],
        place: str,
    ) -> None:
        labels = {output.name: output.shape for output in sessions[0].get_outputs()}[PROBABILITIES][1]
        self.host_BHWC: npt.NDArray[Pixel] = np.zeros(shape_BHWC, dtype)
        if place == "cuda":
            page_lock(self.host_BHWC)
        self._chips = ort.OrtValue.ortvalue_from_shape_and_type(shape_BHWC, dtype, place)
        self._probs = ort.OrtValue.ortvalue_from_shape_and_type([shape_BHWC[0], labels], np.float32, place)
        self.bindings = [session.io_binding() for session in sessions]
        for binding in self.bindings:
            binding.bind_ortvalue_input(INPUT, self._chips)
            binding.bind_ortvalue_output(PROBABILITIES, self._probs)

    def fill(self, chips_BHWC: npt.NDArray[Pixel]) -> None:
        """Copy chips to the device.

        What is left of the last batch pads them; nobody reads its answers.
        """
        self.host_BHWC[: len(chips_BHWC)] = chips_BHWC
        self._chips.update_inplace(self.host_BHWC)

    def answers(self, count: int) -> npt.NDArray[np.float32]:
        """Return the first chips' probabilities, float32 (B,L), in memory of their own."""
        return np.array(self._probs.numpy()[:count])


def padded(count: int) -> int:
    """Return the next batch size: a power of two, or from 16 on also one and a half times one.

    Small batches leave most of a GPU idle, so padding them costs little; at most a third of a
    large one is padding, and a sixth on average.
    """
    power = 1 << (count - 1).bit_length()
    between = power * 3 // 4
    return between if power >= 32 and count <= between else power


def page_lock(array: npt.NDArray[Any]) -> None:
    """Keep a buffer in memory while it lives: the GPU then copies from it without a detour."""
    try:
        cudart = _cudart()
        address = ctypes.c_void_p(array.ctypes.data)
        failed = cudart.cudaHostRegister(address, ctypes.c_size_t(array.nbytes), ctypes.c_uint(0))
    except (OSError, AttributeError) as error:
        failed = error
    if failed:
        logger.info("copies to the GPU are slower than they could be: no page-locked memory (%s)", failed)
    else:
        weakref.finalize(array, cudart.cudaHostUnregister, address).atexit = False


def device_memory() -> tuple[int, int] | None:
    """Return how many bytes of the GPU are in use, by whichever process, and how many it has.

    None if the GPU does not tell. From any thread: asked about are the thread's current device,
    which is 0 as it is for ONNX Runtime, and the one context that the process has there; no stream
    is waited for or touched.
    """
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        failed = _cudart().cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    except (OSError, AttributeError):
        return None
    return None if failed else (total.value - free.value, total.value)


def _cudart() -> ctypes.CDLL:
    """Return the CUDA runtime that ONNX Runtime has loaded."""
    return ctypes.CDLL(f"libcudart.so.{ort.cuda_version.partition('.')[0]}")
