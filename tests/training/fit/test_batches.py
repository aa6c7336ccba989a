"""Shape suffixes: N chips, B chips of a batch, L labels, H height, W width, C bands."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.kit import stripes
from training.data.dataset import Dataset
from training.fit.batches import Batch, Batches, BatchStream
from training.fit.inputs import ChipInputs, FrozenInputs
from training.network.augmentation import random_views
from training.run.folder import Run

ROWS = np.arange(3, 40)


def stream_of(run: Run, dataset: Dataset, oversample: float = 0.0) -> BatchStream:
    return BatchStream(ChipInputs(run, stripes.WHOLE, dataset), ROWS, dataset, 8, oversample)


def test_an_epoch_is_every_chip_once_in_a_new_order(tiny_dataset: Dataset, trained: Run) -> None:
    stream = stream_of(trained, tiny_dataset)
    orders = []
    for stream.seed in (1, 2, 1):
        batches = list(stream)
        assert len(batches) == len(stream) == 5
        assert [len(batch.inputs) for batch in batches] == [8, 8, 8, 8, 5]
        targets_NL = torch.cat([batch.targets_BL for batch in batches]).numpy()
        assert sorted(targets_NL.tolist()) == sorted(tiny_dataset.targets_NL[ROWS].astype(float).tolist())
        orders.append(torch.cat([batch.inputs for batch in batches]))
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


def test_chips_come_with_their_own_targets(tiny_dataset: Dataset, trained: Run) -> None:
    targets = {tiny_dataset.chips_NHWC[row].tobytes(): tiny_dataset.targets_NL[row].tolist() for row in ROWS}
    for batch in stream_of(trained, tiny_dataset):
        assert batch.targets_BL.dtype == torch.float32
        for chip_HWC, target_L in zip(batch.inputs, batch.targets_BL, strict=True):
            assert targets[chip_HWC.numpy().tobytes()] == target_L.bool().tolist()


def test_oversampling_shows_chips_with_rare_labels_more_often(tiny_dataset: Dataset, trained: Run) -> None:
    dark = stripes.LABELS.index("dark")
    shown = []
    for oversample in (0.0, 1.0):
        batches = list(stream_of(trained, tiny_dataset, oversample))
        targets_NL = torch.cat([batch.targets_BL for batch in batches])
        assert len(targets_NL) == len(ROWS)
        shown.append(int(targets_NL[:, dark].sum()))
    assert shown[1] > shown[0]


def test_every_batch_of_a_fit_is_augmented_in_its_own_way(tiny_dataset: Dataset, trained: Run) -> None:
    seeds = []
    stream = stream_of(trained, tiny_dataset)
    for stream.seed in (1, 2):
        seeds += [batch.seed for batch in stream]
    assert len(set(seeds)) == len(seeds) == 10


def loader_of_epoch(batches: Batches, epoch: int) -> list[Batch]:
    trainer: Any = SimpleNamespace(
        current_epoch=epoch, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    batches.trainer = trainer
    return list(batches.train_dataloader())


def test_an_epochs_batches_depend_on_seed_and_epoch_alone(tiny_dataset: Dataset, trained: Run) -> None:
    def epoch(seed: int, number: int) -> torch.Tensor:
        inputs = ChipInputs(trained, stripes.WHOLE, tiny_dataset)
        batches = Batches(BatchStream(inputs, ROWS, tiny_dataset, 8), inputs, seed)
        loaded = loader_of_epoch(batches, number)
        return torch.cat([batches.on_after_batch_transfer(batch, 0).inputs for batch in loaded])

    first_NHWC = epoch(7, 2)
    assert torch.equal(first_NHWC, epoch(7, 2))
    assert not torch.equal(first_NHWC, epoch(7, 3))
    assert not torch.equal(first_NHWC, epoch(8, 2))


@pytest.mark.parametrize("augmentation", ["none", "views"])
def test_augmentation_happens_after_the_transfer(
    tiny_dataset: Dataset, trained: Run, augmentation: Literal["none", "views"]
) -> None:
    member = replace(stripes.WHOLE, augmentation=augmentation)
    inputs = ChipInputs(trained, member, tiny_dataset)
    batches = Batches(BatchStream(inputs, ROWS, tiny_dataset, 8), inputs, 0)
    batch = loader_of_epoch(batches, 0)[1]
    found = batches.on_after_batch_transfer(batch, 0)
    expected_BHWC = batch.inputs
    if augmentation == "views":
        expected_BHWC = random_views(batch.inputs, torch.Generator().manual_seed(batch.seed))
        assert not torch.equal(expected_BHWC, batch.inputs)
    assert torch.equal(found.inputs, expected_BHWC)
    assert torch.equal(found.targets_BL, batch.targets_BL)


def test_cached_features_come_in_their_drawn_view_and_stay_so(tiny_dataset: Dataset, trained: Run) -> None:
    inputs = FrozenInputs(trained, stripes.FROZEN, tiny_dataset)
    batches = Batches(BatchStream(inputs, ROWS, tiny_dataset, 8), inputs, 0)
    batch = loader_of_epoch(batches, 0)[0]
    assert torch.equal(batches.on_after_batch_transfer(batch, 0).inputs, batch.inputs)
