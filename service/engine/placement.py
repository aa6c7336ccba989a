"""Where a bundle's members run: device, precision and threads → sessions that are open and checked.

Refuses a device that does not come up; only `auto` takes another, and says which. Knows nothing of
votes.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.contract.bundle import Bundle
from service.contract.errors import DeviceError, SettingsError
from service.contract.manifest import INPUT, Member, Pixel, Precision
from service.contract.onnx_runtime import needs_exact
from service.contract.processors import processors
from service.engine.autotune import fastest, plans
from service.engine.cpu import AT_ONCE, CpuRunner
from service.engine.cuda import CudaRunner
from service.engine.sessions import Device, Gpu, check_graph, open_on, require_cuda
from service.engine.trial import trial

logger = logging.getLogger("chipvote")

# What is worth trying, the likeliest first: many CPUs have kernels for int8, GPUs for half
# precision and none for quantised convolutions. A CPU has no kernels for halves; it takes them for
# want of others.
PRECISIONS: dict[Device, tuple[Precision, ...]] = {
    "cpu": ("int8", "float32"),
    "cuda": ("float16", "float32"),
}


class Loaded(Protocol):
    """Chips where the members read them."""

    def run(self, member: int) -> npt.NDArray[np.float32]:
        """Run one member on the chips: float32 (B,L), each in 0..1."""

    def explain(self, member: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run one member on the chips: probabilities (B,L) and evidence (B,L,h,w), float32."""


class Runner(Protocol):
    """Where the members run: a batch is loaded once, then given to one member after the other."""

    @property
    def at_once(self) -> int | None:
        """Most chips that a run takes at once; None where more are never worse."""

    def lanes(self) -> Sequence["Runner"]:
        """Return runners that threads may use at the same time; itself alone, or others."""

    def load(self, chips_BHWC: npt.NDArray[Pixel]) -> Loaded:
        """Take chips, for use until the next load; the array must stay as it is meanwhile."""

    def warm_up(self, shape_HWC: tuple[int, int, int], dtype: str, max_batch: int) -> None:
        """Run whatever is slow the first time, for batches of up to `max_batch`."""


class Rung(NamedTuple):
    """One way to run a bundle: where, and at which precision."""

    device: Device
    precision: Precision


class Placement(NamedTuple):
    """Where the members run."""

    device: Device
    precision: Precision
    runner: Runner


def place(
    bundle: Bundle,
    device: Literal["auto"] | Device,
    precision: Literal["auto"] | Precision,
    threads: int,
    gpu: Gpu,
    without: Collection[Rung] = (),
) -> Placement:
    """Open a bundle's members.

    Args:
        bundle: a verified bundle.
        device: `cuda` never falls back to the CPU; `auto` logs what it chose.
        precision: `auto` takes the fastest for the device that the bundle has.
        threads: processors of the CPU to use, at most; 0 is all that this process may use.
        gpu: how sessions use a GPU.
        without: not to be taken, though the bundle has it.

    Raises:
        DeviceError: the device does not come up, or cannot run the graphs.
        SettingsError: the bundle lacks the precision.
        BundleError: names a graph that does not fit the manifest.
    """
    if precision != "auto" and precision not in bundle.manifest.precisions:
        raise SettingsError(
            f"CHIPVOTE_PRECISION={precision}: {bundle.folder} has {_precisions(bundle)}; "
            "set one of these or auto"
        )
    if device == "cpu":
        return _place_on_cpu(bundle, precision, threads, without)
    try:
        placed = _place_on_cuda(bundle, precision, gpu, without)
    except DeviceError as error:
        if device == "cuda":
            raise
        logger.info("device auto: cpu, because %s", error)
        return _place_on_cpu(bundle, precision, threads, without)
    if device == "auto":
        logger.info("device auto: cuda")
    return placed


def _place_on_cpu(
    bundle: Bundle, precision: Literal["auto"] | Precision, threads: int, without: Collection[Rung]
) -> Placement:
    there = {choice for choice in bundle.manifest.precisions if Rung("cpu", choice) not in without}
    tried = [choice for choice in PRECISIONS["cpu"] if choice in there] or sorted(there)
    if precision != "auto":
        tried = [precision] if precision in there else []
    if not tried:
        raise DeviceError(f"{bundle.folder} has no precision that is left for the CPU")
    available = processors()
    candidates = plans(tried, min(threads or available, available))
    first = partial(_open, bundle, bundle.manifest.members[0])
    paths = [bundle.graph_path(bundle.manifest.members[0], choice) for choice in tried]
    largest = max(paths, key=lambda path: path.stat().st_size)
    with trial(largest, bundle.manifest.input, chips=2 * AT_ONCE * available):
        plan, chips_per_s = fastest(candidates, partial(first, device="cpu"), bundle.golden.chips_GHWC)
    for tried_plan, rate in chips_per_s.items():
        logger.info(
            "first member, %s, %d thread(s), %d chip(s) side by side: %.3g chips/s%s",
            *tried_plan,
            rate,
            ", taken" if tried_plan == plan else "",
        )

    def sessions(threads: int) -> list[ort.InferenceSession]:
        """Open every member."""
        return [_open(bundle, m, plan.precision, threads, device="cpu") for m in bundle.manifest.members]

    graphs = [member.graphs[plan.precision] for member in bundle.manifest.members]
    unbounded = [graph.file.path for graph in graphs if needs_exact(graph.bounded, plan.precision)]
    if unbounded:
        logger.warning(
            "this processor cuts off sums of 8-bit products (it has no VNNI), and the weights of %s are not "
            "bounded against that: exact kernels are on, which take longer; export the bundle again",
            ", ".join(unbounded),
        )
    alone = sessions(plan.side_by_side) if plan.side_by_side > 1 else None
    return Placement("cpu", plan.precision, CpuRunner(sessions(plan.threads), plan.side_by_side, alone))


def _place_on_cuda(
    bundle: Bundle, precision: Literal["auto"] | Precision, gpu: Gpu, without: Collection[Rung]
) -> Placement:
    require_cuda(gpu)
    there = {choice for choice in bundle.manifest.precisions if Rung("cuda", choice) not in without}
    chosen = next((p for p in PRECISIONS["cuda"] if p in there and precision in ("auto", p)), None)
    if chosen is None:
        raise DeviceError(
            f"{bundle.folder} has {_precisions(bundle)}, and a GPU runs {' and '.join(PRECISIONS['cuda'])} "
            "only; set another CHIPVOTE_PRECISION, export the bundle with float16, or set CHIPVOTE_DEVICE=cpu"
        )
    gpu = gpu._replace(half=chosen == "float16")

    def sessions(graphs: bool) -> list[ort.InferenceSession]:
        """Open every member, able to record CUDA graphs or not."""
        how = gpu._replace(graphs=graphs)
        return [_open(bundle, member, chosen, 1, "cuda", how) for member in bundle.manifest.members]

    return Placement("cuda", chosen, CudaRunner(sessions, graphs=gpu.records))


def _open(
    bundle: Bundle,
    member: Member,
    precision: Precision,
    threads: int,
    device: Device,
    gpu: Gpu = Gpu(),  # noqa: B008
) -> ort.InferenceSession:
    path, graph = bundle.graph_path(member, precision), member.graphs[precision]
    exact = device == "cpu" and needs_exact(graph.bounded, precision)
    spec, labels = bundle.manifest.input, len(bundle.manifest.labels)
    # Its bytes are verified once more and handed over: the file may have changed since.
    opened = partial(open_on, device, path, threads, gpu, exact=exact, data=bundle.graph(member, precision))
    if device != "cpu":
        session = opened()
        check_graph(session, path, spec, labels)
        return session
    with trial(path, spec, chips=1):
        session = opened()
        check_graph(session, path, spec, labels)
        session.run(None, {INPUT: bundle.golden.chips_GHWC[:1]})
    return session


def _precisions(bundle: Bundle) -> str:
    return ", ".join(sorted(bundle.manifest.precisions))
