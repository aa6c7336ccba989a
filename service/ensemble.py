"""The members of a bundle, loaded: chips (B,H,W,C) → probabilities (M,B,L) → votes.

Chooses device and precision. Knows no HTTP, no queue and no image formats; one thread at
a time uses it.

Shape suffixes: M members, B chips, G golden chips, H height, W width, C bands, L labels.
"""

import logging
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.bundle import Bundle, Pixel, Precision
from service.cpu import CpuRunner
from service.cuda import CudaRunner, padded
from service.errors import BundleError, DeviceError, SettingsError
from service.sessions import Device, Gpu, check_graph, open_session, require_cuda

logger = logging.getLogger("chipvote")

# Fastest first: CPUs have kernels for int8, GPUs for half precision and none for quantised convolutions.
PREFERENCE: dict[Device, tuple[Precision, ...]] = {
    "cpu": ("int8", "float32", "float16"),
    "cuda": ("float16", "float32"),
}
# How far a probability may be from the golden one on another machine. Kernels sum in another
# order: float32 then differs in its last digits, float16 (11 bits) by some of its steps through
# the depth of a network, and int8 by whole quantisation steps where a value sat on an edge.
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "float16": 0.02, "int8": 0.1}


class Vote(NamedTuple):
    """What the ensemble says about one chip; each list is in the bundle's label order."""

    probabilities: list[float]  # what the rule believes, six decimals: in a vote, the members' mean
    votes: list[int]  # weight of the members in favour; 0 where the rule is no vote
    predicted: list[bool]


class Runner(Protocol):
    """Where the members run: a batch is loaded once and then given to one member after the other."""

    def load(self, chips_BHWC: npt.NDArray[Pixel]) -> None:
        """Take the chips that the next runs are about; the array must stay as it is until the next load."""

    def run(self, member: int) -> npt.NDArray[np.float32]:
        """Run one member on the loaded chips: float32 (B,L), each in 0..1."""

    def warm_up(self, shape_HWC: tuple[int, int, int], dtype: str, max_batch: int) -> None:
        """Run whatever is slow the first time, for batches of up to `max_batch`."""


class Ensemble:
    """The members of a bundle on one device at one precision."""

    device: Device
    precision: Precision

    def __init__(
        self,
        bundle: Bundle,
        device: Literal["auto"] | Device = "auto",
        precision: Literal["auto"] | Precision = "auto",
        threads: int = 0,
        gpu: Gpu = Gpu(),  # noqa: B008
        max_batch: int = 1,
    ) -> None:
        """Load every graph and check it against the manifest.

        Args:
            bundle: a verified bundle.
            device: `cuda` never falls back to the CPU; `auto` logs what it chose.
            precision: `auto` takes the fastest for the device that the bundle has.
            threads: threads of one member on the CPU; 0 is ONNX Runtime's choice.
            gpu: how sessions use a GPU.
            max_batch: most chips at a time; TensorRT's engines are built for no more.

        Raises:
            DeviceError: the device does not come up, or cannot run the graphs.
            SettingsError: the bundle lacks the precision.
            BundleError: names a graph that does not fit the manifest.
        """
        self._bundle = bundle
        spec, largest = bundle.manifest.input, padded(max(max_batch, len(bundle.golden.chips_GHWC)))
        gpu = gpu._replace(largest=(largest, spec.height, spec.width, len(spec.bands)))
        if device != "auto":
            self._open(device, precision, threads, gpu)
            return
        try:
            self._open("cuda", precision, threads, gpu)
        except DeviceError as error:
            logger.info("device auto: cpu, because %s", error)
            self._open("cpu", precision, threads, gpu)
        else:
            logger.info("device auto: cuda")

    def probabilities(self, chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.float32]:
        """Run every member: (B,H,W,C) of the input's dtype → float32 (M,B,L), each in 0..1."""
        self._runner.load(chips_BHWC)
        return np.stack([self._runner.run(member) for member in range(len(self._bundle.manifest.members))])

    def vote(self, chips_BHWC: npt.NDArray[Pixel]) -> list[Vote]:
        """Answer a batch: (B,H,W,C) → one `Vote` per chip."""
        labels_BL, votes_BL, probs_BL = self._bundle.decider.decide(self.probabilities(chips_BHWC))
        return list(map(Vote, probs_BL.round(6).tolist(), votes_BL.tolist(), labels_BL.tolist()))

    def self_test(self) -> None:
        """Reproduce the bundle's golden answers.

        Raises:
            BundleError: a decision differs, or a probability by more than `TOLERANCE`.
        """
        golden = self._bundle.golden
        probs_MGL = self.probabilities(golden.chips_GHWC)
        labels_GL = self._bundle.decider.decide(probs_MGL).labels_BL
        off_MGL = np.abs(probs_MGL - golden.probs_MGL(self.precision))
        wrong = int((labels_GL != golden.labels_GL).sum())
        # `<=` and not `>`: a NaN must fail.
        if wrong or not (off_MGL <= TOLERANCE[self.precision]).all():
            path = self._bundle.folder / self._bundle.manifest.golden.path
            raise BundleError(
                f"{path}: on {self.device} at {self.precision}, {wrong} of {labels_GL.size} golden decisions "
                f"differ and probabilities are off by up to {off_MGL.max():.2g} (allowed: 0 and "
                f"{TOLERANCE[self.precision]}); export the bundle again or set another CHIPVOTE_PRECISION"
            )

    def warm_up(self, max_batch: int) -> None:
        """Run whatever is slow the first time, so that no request pays for it."""
        spec = self._bundle.manifest.input
        self._runner.warm_up((spec.height, spec.width, len(spec.bands)), spec.dtype, max_batch)

    def _open(self, device: Device, precision: Literal["auto"] | Precision, threads: int, gpu: Gpu) -> None:
        if device == "cuda":
            require_cuda(gpu)
        manifest = self._bundle.manifest
        there = ", ".join(sorted(manifest.precisions))
        if precision != "auto" and precision not in manifest.precisions:
            raise SettingsError(
                f"CHIPVOTE_PRECISION={precision}: {self._bundle.folder} has {there}; set one of these or auto"
            )
        available = [choice for choice in PREFERENCE[device] if choice in manifest.precisions]
        chosen = next((choice for choice in available if precision in ("auto", choice)), None)
        if chosen is None:
            raise DeviceError(
                f"{self._bundle.folder} has {there}, and a GPU runs {' and '.join(PREFERENCE[device])} only; "
                "set another CHIPVOTE_PRECISION, export the bundle with float16, or set CHIPVOTE_DEVICE=cpu"
            )
        self.device, self.precision = device, chosen
        gpu = gpu._replace(half=chosen == "float16")
        self._runner: Runner
        if device == "cuda":
            open_sessions = partial(self._sessions, threads=threads, gpu=gpu)
            self._runner = CudaRunner(open_sessions, graphs=gpu.records)
        else:
            self._runner = CpuRunner(self._sessions(False, threads, gpu), threads)

    def _sessions(self, graphs: bool, threads: int, gpu: Gpu) -> list[ort.InferenceSession]:
        """Open and check every member's graph, able to record CUDA graphs or not."""
        manifest, sessions = self._bundle.manifest, []
        for member in manifest.members:
            path = self._bundle.graph_path(member, self.precision)
            session = open_session(path, self.device, threads, gpu._replace(graphs=graphs))
            check_graph(session, path, manifest.input, len(manifest.labels))
            sessions.append(session)
        return sessions
