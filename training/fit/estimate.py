"""What a run will take in disk, memory and time, said before it starts.

Time and memory are measured on a few real steps of every member on the device that will do
the work; disk is counted. Only what is left to do counts.

Shape suffixes: B chips of a batch, H height, W width, C bands, h, w, f map at the cut.
"""

import math
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from rich.table import Table

from training.config.schema import CACHED, MemberConfig
from training.data.dataset import Dataset
from training.fit.batches import Batches, BatchStream
from training.fit.device import best_device, fast_bfloat16
from training.fit.features import BATCH
from training.fit.inputs import ChipInputs, FrozenInputs, Inputs
from training.fit.task import FitTask
from training.fit.trainer import device_of, ready, train, trainer_of
from training.network.freezing import FrozenPart, learning_part
from training.network.model import ChipNet, member_net
from training.run.folder import Run
from training.run.history import read_epochs
from training.run.progress import console

WARM_UP, MEASURED = 1, 2  # steps
SHORT_PIXELS = 12_000_000  # a minute at 0.2 million pixels/s, which any processor surpasses
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}  # numbers an optimizer keeps for each weight
GRAPH_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.25}  # for each weight; some stay float32


@dataclass(frozen=True)
class Estimate:
    """What one member will take."""

    member: str
    fits: int  # left to do
    kept_bytes: int  # features, weights and graphs on the disk
    checkpoint_bytes: int  # on the disk while one fold is fitted
    seconds: float | None = None  # None: not measured
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Left:
    """What is still to be done of one member."""

    views: int  # of the frozen part's features
    fits: int
    steps: int

    def images(self, member: MemberConfig, chips: int) -> int:
        """Return how many images the network has to work on."""
        return self.views * chips + (0 if member.freeze == "backbone" else self.steps * member.batch_size)


def announce(run: Run, dataset: Dataset, *, measured: bool = True) -> list[Estimate]:
    """Print what is left to do and what it takes; return it.

    Args:
        run: what to estimate.
        dataset: its chips.
        measured: try some steps, unless all will be done within a minute anyway.

    Raises:
        ValueError: the disk has too little space, or a batch does not fit into memory.
    """
    left = {member.name: left_of(run, member, dataset) for member in run.config.members}
    pixels = sum(left[m.name].images(m, len(dataset)) * m.size_px**2 for m in run.config.members)
    measured = measured and pixels > SHORT_PIXELS
    estimates = [
        estimate(run, member, dataset, left[member.name], measured=measured)
        for member in run.config.members
        if left[member.name].fits
    ]
    if measured:
        console.print(table(estimates))
    check_disk(run, estimates)
    return estimates


def left_of(run: Run, member: MemberConfig, dataset: Dataset) -> Left:
    """Count what is not on the disk yet."""
    features = run.folder / "features" / member.name
    views = sum(not (features / f"view{view}.npy").exists() for view in range(member.cached_views))
    steps, fits = 0, 0
    for fold in range(run.config.folds):
        if not run.fit_path(member.name, fold).exists():
            fits += 1
            epoch = math.ceil(int((dataset.folds_N != fold).sum()) / member.batch_size)
            done = len(read_epochs(run.epochs_path(member.name, fold)))
            all_steps = min(member.epochs * epoch, run.config.max_steps or member.epochs * epoch)
            steps += max(0, all_steps - done * epoch)
    return Left(views if member.freeze in CACHED and fits else 0, fits, steps)


def estimate(run: Run, member: MemberConfig, dataset: Dataset, left: Left, *, measured: bool) -> Estimate:
    """Return what one member will take."""
    whole = member_net(run, member, dataset, pretrained=False)
    all_weights = _weights(whole)
    feature_bytes, features_s = 0, 0.0
    inputs: Inputs = ChipInputs(run, member, dataset)
    if member.freeze in CACHED:
        map_hwf, batch_s = _frozen(whole, member, dataset, measured=measured)
        feature_bytes = left.views * len(dataset) * map_hwf.numel() * 2
        features_s = left.views * math.ceil(len(dataset) / BATCH) * batch_s
        learning = _weights(learning_part(member_net(run, member, dataset, pretrained=False), member))
        inputs = _Sample(run, member, dataset, map_hwf)
    else:
        learning = all_weights
    members = 1 if run.config.fold_members == "averaged" else run.config.folds
    graph_bytes = sum(GRAPH_BYTES[precision] for precision in run.config.precisions) * 2 * members
    copies = 1 + MOMENTS[member.optimizer] + (member.ema_decay is not None)
    step_s, memory_bytes = _measure(run, member, dataset, inputs) if measured else (None, None)
    return Estimate(
        member=member.name,
        fits=left.fits,
        kept_bytes=int(feature_bytes + left.fits * 4 * learning + graph_bytes * all_weights),
        checkpoint_bytes=0 if member.freeze == "backbone" else 2 * 4 * copies * learning,  # former and next
        seconds=None if step_s is None else features_s + left.steps * step_s,
        memory_bytes=memory_bytes,
    )


def check_disk(run: Run, estimates: list[Estimate]) -> None:
    """Refuse to start on a disk that cannot hold the run.

    Raises:
        ValueError: it has too little space.
    """
    needed = sum(e.kept_bytes for e in estimates) + max((e.checkpoint_bytes for e in estimates), default=0)
    free = shutil.disk_usage(run.folder).free
    if needed > free:
        raise ValueError(
            f"{run.folder}: the run needs {_gigabytes(needed)} of disk, {_gigabytes(free)} are free; "
            "make room, or use another --out"
        )


def table(estimates: list[Estimate]) -> Table:
    """Lay the estimates out for people."""
    shown = Table("member", title="what is left of this run, about")
    for title in ("fits", "disk", "while fitting", "memory", "time"):
        shown.add_column(title, justify="right")
    for e in estimates:
        sizes = (_gigabytes(size or 0) for size in (e.kept_bytes, e.checkpoint_bytes, e.memory_bytes))
        shown.add_row(e.member, str(e.fits), *sizes, _duration(e.seconds or 0))
    disk = _gigabytes(sum(e.kept_bytes for e in estimates))
    seconds = sum(e.seconds or 0 for e in estimates)
    shown.add_row("all", str(sum(e.fits for e in estimates)), disk, "", "", _duration(seconds))
    return shown


class _Sample(FrozenInputs):
    """Stands in for cached features that are not there yet: every chip's are those of one chip."""

    def __init__(self, run: Run, member: MemberConfig, dataset: Dataset, map_hwf: torch.Tensor) -> None:
        super(FrozenInputs, self).__init__(run, member, dataset)
        shape = (len(dataset), *map_hwf.shape)
        self._views = [np.broadcast_to(map_hwf.half().numpy(), shape)] * member.cached_views


class _Clock(Callback):
    """When every step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: object) -> None:
        outputs = args[2]
        assert isinstance(outputs, dict)
        outputs["loss"].item()  # waits for the device
        self.ends.append(perf_counter())


def _measure(run: Run, member: MemberConfig, dataset: Dataset, inputs: Inputs) -> tuple[float, int]:
    """Return the seconds of a training step and the memory it needs."""
    steps = WARM_UP + MEASURED
    rows = np.resize(np.flatnonzero(dataset.folds_N != 0), steps * member.batch_size)
    stream = BatchStream(inputs, rows, dataset, member.batch_size)
    task = FitTask(ready(inputs.network(rows), member), member, dataset.labels, len(stream))
    clock = _Clock()
    trainer = trainer_of(run.config, member, [clock], max_steps=steps)
    on_gpu = device_of(member).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        train(trainer, task, Batches(stream, inputs, run.config.seed, pin=on_gpu), None)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{member.name}: batch_size={member.batch_size} does not fit into the GPU's memory; halve it"
        ) from None
    peak = torch.cuda.max_memory_allocated() if on_gpu else _resident_peak()
    return (clock.ends[-1] - clock.ends[WARM_UP - 1]) / MEASURED, peak


def _frozen(
    net: ChipNet, member: MemberConfig, dataset: Dataset, *, measured: bool
) -> tuple[torch.Tensor, float]:
    """Return what the frozen part says of one chip, (h,w,f), and how long it takes for a batch."""
    device = best_device()
    part = FrozenPart(net, member).to(device).eval()
    bfloat16 = member.mixed_precision and fast_bfloat16()
    chips_BHWC = torch.from_numpy(dataset.chips_NHWC[: BATCH if measured else 1].copy()).to(device)

    def once() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            return part(chips_BHWC).cpu()  # type: ignore[no-any-return]

    map_fhw = once()[0]
    return map_fhw.permute(1, 2, 0), _seconds(once) if measured else 0.0


def _seconds(action: Callable[[], object]) -> float:
    began = perf_counter()
    for _ in range(MEASURED):
        action()
    return (perf_counter() - began) / MEASURED


def _weights(net: ChipNet) -> int:
    return sum(value.numel() for value in net.state_dict().values())


def _resident_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
