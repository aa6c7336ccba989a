"""What bulk runs are measured by: time and processors of a family of processes, stand-ins, peers.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

import csv
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness.random_bundle import random_net
from service.contract.bundle import load
from service.engine.crew import Crew
from service.engine.verdict import Verdict
from service.offline.bulk.scorer import Scorer
from service.offline.bulk.scoring import Job, begun
from service.settings import Settings

BATCH = 32
BURST_S = 0.02  # between two bursts of rows, at least


class Meter:
    """Seconds, and processor seconds of this process and those below it, since it was made."""

    def __init__(self) -> None:
        self._began_s, self._cpu_s = time.perf_counter(), _cpu_s()

    def figures(self, chips: int) -> dict[str, float]:
        """Return chips a second, and processor milliseconds a chip."""
        took_s, cpu_s = time.perf_counter() - self._began_s, _cpu_s() - self._cpu_s
        return {"chips_per_s": round(chips / took_s, 2), "cpu_ms": round(1000 * cpu_s / chips, 2)}


def _cpu_s() -> float:
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total += times.user + times.system
    return total


def measured(counts: Iterable[int]) -> dict[str, float]:
    """Take a stream of how many chips are done; measure from the first to the last."""
    meter, first, last = None, 0, 0
    figures: dict[str, float] = {}
    for last in counts:
        if meter is None:
            meter, first = Meter(), last
    if meter:
        figures = meter.figures(last - first)
    return figures


def scored(job: Job, opening: "OpenSleeping | None" = None) -> dict[str, float]:
    """Measure one run once all workers are at it; what ends processes counts no more.

    Rows come in bursts, and when one comes all of it is done: so from the first quarter on, the
    clock starts as a burst comes, and what comes at once with it does not count.
    """
    with begun(job) as run:
        found: dict[str, float] = {}
        meter, first, before_s, open_burst = None, 0, time.perf_counter(), False
        for count, _ in enumerate(run.rows(opening), 1):
            pause, before_s = time.perf_counter() - before_s > BURST_S, time.perf_counter()
            if meter is None and pause and count > run.chips / 4:
                meter, open_burst = Meter(), True
            elif open_burst and pause:
                open_burst = False
            if open_burst:
                first = count
            if meter and count == run.chips:
                found = meter.figures(count - first)
        return found


def chip_list(chips: Sequence[Path], count: int, path: Path) -> Path:
    """Write a list of so many chips, repeated in turn."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path"])
        writer.writerows([str(chip)] for chip in islice(cycle(chips), count))
    return path


class Sleeping:
    """A voter that takes a time for each chip, and no processor."""

    at_once: int | None = 1

    def __init__(self, labels: int, chip_s: float) -> None:
        self._labels, self._chip_s = labels, chip_s

    def lanes(self) -> Sequence[Self]:
        """Return itself alone: one chip at a time."""
        return [self]

    def vote(self, chips_BHWC: npt.NDArray[Any], explain: bool = False) -> list[Verdict]:
        """Wait, and say that every label is there."""
        time.sleep(len(chips_BHWC) * self._chip_s)
        count = self._labels
        return [Verdict([0.5] * count, [1] * count, [True] * count, 1)] * len(chips_BHWC)


@dataclass(frozen=True)
class OpenSleeping:
    """Opens such a voter in place of a bundle's networks."""

    settings: Settings
    chip_s: float

    def __call__(self, bundle: Path | None = None) -> Scorer:
        """Open it."""
        loaded = load(bundle or self.settings.bundle)
        crew = Crew(lambda: Sleeping(len(loaded.manifest.labels), self.chip_s), self.settings.max_batch)
        return Scorer(crew, loaded.manifest.input, self.settings)


class Pictures(Dataset[torch.Tensor]):
    """Chips as loops around a DataLoader read them: Pillow, one after the other."""

    def __init__(self, chips: Sequence[Path], count: int, side_px: int) -> None:
        self._chips, self._count, self._side_px = chips, count, side_px

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(io.BytesIO(self._chips[index % len(self._chips)].read_bytes())) as image:
            return torch.from_numpy(np.array(image.convert("RGB").resize((self._side_px, self._side_px))))


def torch_loop(
    chips: Sequence[Path], count: int, architectures: Sequence[str], workers: int
) -> Iterator[int]:
    """Predict as torchgeo's and Raster Vision's loops do; yield how many chips are done.

    A DataLoader's processes decode, PyTorch runs the ensemble in float32 on batches of 32, every
    label's probabilities are averaged and kept. The weights are random: speed knows nothing of
    them.
    """
    nets = [random_net(name, 256) for name in architectures]
    loader = DataLoader(Pictures(chips, count, 256), BATCH, num_workers=workers)
    done, kept = 0, []
    with torch.inference_mode():
        for chips_BHWC in loader:
            kept.append(torch.stack([net(chips_BHWC)[0] for net in nets]).mean(dim=0))
            done += len(chips_BHWC)
            yield done


def runtime_loop(chips: Sequence[Path], count: int, sessions: Sequence[Any], workers: int) -> Iterator[int]:
    """Do the same with ONNX Runtime's sessions, as they come without options."""
    loader = DataLoader(Pictures(chips, count, 256), BATCH, num_workers=workers)
    done, kept = 0, []
    for chips_BHWC in loader:
        feed = {"chips": chips_BHWC.numpy()}
        kept.append(np.mean([session.run(["probabilities"], feed)[0] for session in sessions], axis=0))
        done += len(chips_BHWC)
        yield done
