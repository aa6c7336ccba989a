"""Does the device wait for data? Images per second of the training step and of the data path.

    python -m benchmarks.training.throughput [--steps N] [--batch-size N]

For each network of the `planet` recipe at its real size, in bfloat16 and in float32: the
training step alone (the same batch again and again, so the device is always busy) and the
data path alone (reading the memory-mapped chips, moving them to the device, augmenting).
While the data path is faster than the step, a thread that reads ahead hides it.

Chips are UC Merced's where they lie, random ones otherwise; weights are random.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from benchmarks.harness.data import BESIDE
from training.config.recipes import planet
from training.config.schema import MemberConfig
from training.data.dataset import Dataset, prepare
from training.data.groups import Grouping
from training.fit.batches import Batch, BatchStream
from training.fit.device import best_device
from training.fit.inputs import ChipInputs
from training.fit.task import FitTask
from training.fit.trainer import ready
from training.network.model import member_net
from training.run.folder import Run, Source

CHIPS = 512
WARM_UP = 1


def real_dataset(folder: Path) -> Dataset | None:
    """Return UC Merced in a run's folder, None where it is not at hand."""
    data = Path(os.environ.get("CHIPVOTE_DATA", BESIDE)) / "ucmerced"
    if not data.is_dir():
        return None
    return prepare(Run.start(folder, planet(), Source(data=data)))


def random_dataset(folder: Path) -> Dataset:
    """Return chips of noise, memory-mapped like real ones."""
    random = np.random.default_rng(0)
    np.save(folder / "chips.npy", random.integers(0, 256, (CHIPS, 256, 256, 3), np.uint8))
    labels = [f"label_{index}" for index in range(17)]
    return Dataset(
        title="noise",
        digest="",
        names=[str(index) for index in range(CHIPS)],
        labels=labels,
        targets_NL=random.random((CHIPS, len(labels))) < 0.2,
        folds_N=np.arange(CHIPS) % 5,
        mean_C=np.full(3, 127.5),
        std_C=np.full(3, 74.0),
        median_C=np.full(3, 127.5),
        limits_C2=np.tile([0.0, 255.0], (3, 1)),
        grouping=Grouping(np.arange(CHIPS), None, ""),
        apart=0,
        chips_NHWC=np.load(folder / "chips.npy", mmap_mode="r"),
    )


def images_per_s(step: Callable[[], int], steps: int) -> float:
    """Return how many images so many steps work through in a second."""
    for _ in range(WARM_UP):
        step()
    began = perf_counter()
    images = sum(step() for _ in range(steps))
    return images / (perf_counter() - began)


def data_step(stream: BatchStream, inputs: ChipInputs, device: torch.device) -> Callable[[], int]:
    """Return a step of reading, moving and augmenting."""

    def endless() -> Iterator[Batch]:
        while True:
            yield from stream

    batches = endless()

    def step() -> int:
        batch = next(batches)
        chips_BHWC = batch.inputs
        if device.type == "cuda":
            chips_BHWC = chips_BHWC.pin_memory().to(device, non_blocking=True)
        inputs.augment(chips_BHWC, torch.Generator().manual_seed(batch.seed))
        synchronise(device)
        return len(chips_BHWC)

    return step


def training_step(task: FitTask, batch: Batch, device: torch.device, mixed: bool) -> Callable[[], int]:
    """Return a step of forward, backward and optimizer on one batch that stays on the device."""
    task.to(device).train()
    batch = batch._replace(inputs=batch.inputs.to(device), targets_BL=batch.targets_BL.to(device))
    optimizer = torch.optim.Adam(task.parameters(), 1e-4)

    def step() -> int:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = task.training_step(batch, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        synchronise(device)
        return len(batch.inputs)

    return step


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def compared(run: Run, member: MemberConfig, dataset: Dataset, steps: int) -> tuple[float, float]:
    """Return images/s of the training step and of the data path."""
    device = best_device()
    inputs = ChipInputs(run, member, dataset)
    rows = np.flatnonzero(dataset.folds_N != 0)
    rows = rows[: len(rows) // member.batch_size * member.batch_size]  # whole batches only
    stream = BatchStream(inputs, rows, dataset, member.batch_size)
    network = ready(member_net(run, member, dataset, pretrained=False), member)
    task = FitTask(network, member, dataset.labels, len(stream))
    step = training_step(task, next(iter(stream)), device, member.mixed_precision)
    return images_per_s(step, steps), images_per_s(data_step(stream, inputs, device), 8 * steps)


def main() -> None:
    """Print one table."""
    on_gpu = best_device().type == "cuda"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=20 if on_gpu else 2, help="training steps to time")
    parser.add_argument("--batch-size", type=int, default=64 if on_gpu else 16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder=Path(folder), config=planet(), source=Source(data=Path(folder)))
        dataset = real_dataset(run.folder) or random_dataset(run.folder)
        print(
            f"{best_device().type}, batches of {arguments.batch_size}, chips: {dataset.title}, channels last"
        )
        titles = f"{'step, images/s':>15} {'data, images/s':>15} {'data ÷ step':>12}"
        print(f"{'network':14} {'arithmetic':10} {titles}")
        for member in run.config.members:
            for mixed in (True, False):
                changed = replace(member, batch_size=arguments.batch_size, mixed_precision=mixed)
                step, data = compared(run, changed, dataset, arguments.steps)
                arithmetic = "bfloat16" if mixed else "float32"
                print(
                    f"{member.name:14} {arithmetic:10} {step:15.1f} {data:15.0f} {data / step:12.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
