"""The measurements of `serving/gpu.py`: a part is a process of its own and gives one table's rows.

Shape suffixes: M members, B chips, L labels, H height, W width, C bands.
"""

import copy
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

from benchmarks.harness.chips import FORM, form
from benchmarks.harness.contenders import ours
from benchmarks.harness.load import repeat
from benchmarks.harness.random_bundle import chips_of, jpegs_of, random_net
from benchmarks.harness.servers import running
from service.contract import bundle
from service.contract.manifest import Precision
from service.engine.cuda import GRAPH_BATCH, padded
from service.engine.ensemble import Ensemble
from service.engine.sessions import Device, Gpu
from training.network.model import ExportNet

PER_REQUEST = 64  # chips

Row = dict[str, str | float]


class Task(NamedTuple):
    """What all parts are about."""

    folder: Path
    device: Device
    architectures: tuple[str, ...]
    members: int
    side_px: int
    max_batch: int
    seconds: float  # to measure one figure

    def ensemble(
        self,
        precision: Precision = "float16",
        gpu: Gpu = Gpu(),  # noqa: B008
        warm: int = 0,
    ) -> Ensemble:
        """Open the bundle, proven, and warm for batches of so many chips."""
        ensemble = Ensemble(bundle.load(self.folder), self.device, precision, gpu=gpu)
        ensemble.self_test()
        ensemble.warm_up(warm)
        return ensemble

    def chips(self, count: int) -> Any:  # noqa: ANN401
        """Return so many generated chips (B,H,W,C)."""
        return np.resize(chips_of(self.side_px), (count, self.side_px, self.side_px, 3))

    @property
    def precision(self) -> Precision:
        """The service's choice: CPUs have no kernels for half precision."""
        return "float16" if self.device == "cuda" else "float32"


def rate(step: Callable[[], int], seconds: float) -> float:
    """Return how much a second `step` gets done, by the median of five turns."""
    step()
    rates = []
    for _ in range(5):
        began, done = perf_counter(), 0
        while perf_counter() - began < seconds / 5:
            done += step()
        rates.append(done / (perf_counter() - began))
    return float(np.median(rates))


def parity(task: Task) -> Iterator[Row]:
    """How far answers are from float32 on the CPU."""
    chips_BHWC = task.chips(min(48, 2 * task.max_batch))
    loaded = bundle.load(task.folder)
    reference = Ensemble(loaded, "cpu", "float32")
    probs_MBL = reference.probabilities(chips_BHWC)
    labels_BL = loaded.decider.decide(probs_MBL).labels_BL
    choices: list[tuple[Precision, Gpu]] = [
        ("float32", Gpu()),
        ("float16", Gpu()),
        ("float16", Gpu(nhwc=True)),
    ]
    for precision, gpu in choices[: 3 if task.device == "cuda" else 1]:
        found_MBL = task.ensemble(precision, gpu).probabilities(chips_BHWC)
        changed = (loaded.decider.decide(found_MBL).labels_BL != labels_BL).mean()
        off = np.abs(found_MBL - probs_MBL)
        yield {
            "precision": precision + (" channels last" if gpu.nhwc else ""),
            "largest difference": float(off.max()),
            "mean difference": float(off.mean()),
            "decisions changed": float(changed),
        }


def offline(task: Task) -> Iterator[Row]:
    """Chips per second of all members, no early exit, no HTTP."""
    sizes = sorted({padded(count) for count in range(1, task.max_batch + 1)})
    if task.device == "cpu":
        yield from rates(task, "cpu", Gpu(), sizes)
        return
    yield from rates(task, "no graphs", Gpu(graphs=False), sizes[::-1])
    yield from rates(task, "graphs", Gpu(), [size for size in sizes if size <= GRAPH_BATCH])
    yield from rates(task, "channels last", Gpu(graphs=False, nhwc=True), [sizes[-1], sizes[0]])


def rates(task: Task, name: str, gpu: Gpu, sizes: Sequence[int]) -> Iterator[Row]:
    """Open an ensemble and measure it at some batch sizes."""
    ensemble = task.ensemble(task.precision, gpu, warm=sizes[-1] if gpu.graphs else 0)
    for size in sizes:
        answer = partial(ensemble.probabilities, task.chips(size))
        chips_per_s = rate(lambda: answer().shape[1], task.seconds)  # noqa: B023
        yield {"run": name, "batch": size, "chips/s": chips_per_s}


def latency(task: Task) -> Iterator[Row]:
    """Milliseconds for the vote on one chip."""
    choices = {"graphs": Gpu(), "no graphs": Gpu(graphs=False)}
    for name, gpu in choices.items() if task.device == "cuda" else [("cpu", Gpu())]:
        ensemble = task.ensemble(task.precision, gpu, warm=1)
        chip_BHWC = task.chips(1)
        times: list[float] = []
        until = monotonic() + 5 * task.seconds
        while monotonic() < until or len(times) < 20:
            began = perf_counter()
            ensemble.vote(chip_BHWC)
            times.append(1e3 * (perf_counter() - began))
        p50, p99 = np.percentile(times[5:], [50, 99])
        yield {"run": name, "p50, ms": float(p50), "p99, ms": float(p99), "votes": len(times) - 5}


def memory(task: Task) -> Iterator[Row]:
    """Memory over many batches of changing sizes."""
    random = np.random.default_rng(0)
    for name, gpu in {"own": Gpu(), "capped at 24 GiB": Gpu(memory_bytes=24 << 30)}.items():
        largest = min(16, task.max_batch)
        ensemble = task.ensemble(task.precision, gpu, warm=largest)
        chips_BHWC, used, batches = task.chips(largest), [], 0
        for _ in range(10):
            until = monotonic() + task.seconds / 2
            while monotonic() < until:
                ensemble.probabilities(chips_BHWC[: random.integers(1, largest + 1)])
                batches += 1
            used.append(used_mib(task.device))
        yield {"memory": name, "batches": batches, "first, MiB": used[0], "last, MiB": used[-1]}


def used_mib(device: Device) -> float:
    """Return what the device, or on the CPU this process, has in use."""
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])
    return float(psutil.Process().memory_info().rss) / 2**20


def served(task: Task) -> Iterator[Row]:
    """Chips per second over HTTP, and as a share of the same members' rate without it."""
    alone = offline_rate(task)
    cores = os.cpu_count() or 1
    clients = max(1, min(4, cores // 4))
    body = form([("chip.jpg", jpeg) for jpeg in jpegs_of(task.chips(PER_REQUEST))])
    environment = {
        "PYTHONPATH": os.environ["PYTHONPATH"],  # where the wheels are
        "CHIPVOTE_DEVICE": task.device,
        "CHIPVOTE_MAX_BATCH": str(task.max_batch),
        "CHIPVOTE_QUEUE_SIZE": "4096",
        "CHIPVOTE_DECODE_THREADS": str(max(2, cores // 2)),
    }
    server = ours(task.folder, task.precision, environment)
    began = perf_counter()
    with running(server, []) as started, get_context("spawn").Pool(clients) as pool:
        start_s = perf_counter() - began
        for connections in (1, 4):
            load = (started.url, FORM, body, connections, 4 * task.seconds)
            answered = PER_REQUEST * sum(pool.starmap(repeat, [load] * clients))
            yield {
                "connections": clients * connections,
                "served, chips/s": answered,
                "offline, chips/s": alone,
                "share": answered / alone,
                "start, s": start_s,
            }


def offline_rate(task: Task) -> float:
    """Return the chips per second of full batches; ends with all memory given back."""
    ensemble, chips_BHWC = task.ensemble(task.precision), task.chips(task.max_batch)
    return rate(lambda: len(ensemble.vote(chips_BHWC)), 2 * task.seconds)


def pytorch(task: Task) -> Iterator[Row]:
    """Chips per second of these members in PyTorch, channels last, chips copied from the host."""
    device = torch.device(task.device)
    torch.backends.cudnn.benchmark = True
    nets = [random_net(name, task.side_px) for name in task.architectures]
    for compiled in (False, True):
        for dtype in (torch.float16, torch.bfloat16) if task.device == "cuda" else (torch.bfloat16,):
            ready = [half(net, dtype).to(device) for net in nets]
            run: list[Callable[[torch.Tensor], Any]] = [*ready]
            if compiled:
                run = [torch.compile(net, dynamic=False) for net in ready]
            for size in (1, task.max_batch):
                chips_BHWC = torch.from_numpy(task.chips(size))
                if task.device == "cuda":
                    chips_BHWC = chips_BHWC.pin_memory()
                step = lambda: all_members(run, task.members, chips_BHWC, device)  # noqa: B023, E731
                name = f"{dtype}".removeprefix("torch.") + (", compiled" if compiled else "")
                yield {"run": name, "batch": size, "chips/s": rate(step, task.seconds)}


def half(net: ExportNet, dtype: torch.dtype) -> ExportNet:
    """Return a copy that computes in half precision, but for its preprocessing."""

    class Halved(torch.nn.Module):
        def __init__(self, preprocessing: torch.nn.Module) -> None:
            super().__init__()
            self.preprocessing = preprocessing

        def forward(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
            planes: torch.Tensor = self.preprocessing(chips_BHWC)
            return planes.to(dtype, memory_format=torch.channels_last)

    copied = copy.deepcopy(net).eval()
    copied.net.backbone.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    copied.net.head.to(dtype)
    copied.net.preprocessing = Halved(copied.net.preprocessing)
    return copied


def all_members(
    run: list[Callable[[torch.Tensor], Any]], members: int, chips_BHWC: torch.Tensor, device: torch.device
) -> int:
    """Run every member on the chips and fetch the probabilities."""
    with torch.inference_mode():
        on_device = chips_BHWC.to(device, non_blocking=True)
        probs = [run[member % len(run)](on_device)[0] for member in range(members)]
        torch.stack(probs).float().cpu()
    return len(chips_BHWC)


PARTS: dict[str, Callable[[Task], Iterator[Row]]] = {
    "parity": parity,
    "offline": offline,
    "latency": latency,
    "served": served,
    "memory": memory,
    "pytorch": pytorch,
}
