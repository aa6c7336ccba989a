"""The batches of a fit: order and targets on the CPU, augmentation where the network is.

Everything random is drawn from the number of the epoch and of the batch, so a resumed fit
sees what an undisturbed one would.

Shape suffixes: N chips, B chips of a batch, L labels.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import lightning
import torch
from torch.utils.data import IterableDataset

from training.data.dataset import Dataset
from training.fit.inputs import Inputs, Rows
from training.fit.prefetch import Prefetched
from training.fit.sampler import epoch_order


class Batch(NamedTuple):
    """What one optimizer step learns from."""

    inputs: torch.Tensor
    targets_BL: torch.Tensor
    seed: int  # of what is random about the batch once it is on the device


class BatchStream(IterableDataset[Batch]):
    """One epoch of shuffled batches."""

    def __init__(
        self, inputs: Inputs, rows: Rows, dataset: Dataset, batch_size: int, oversample: float = 0.0
    ) -> None:
        self._inputs, self._rows, self._batch_size = inputs, rows, batch_size
        self._targets_NL = torch.from_numpy(dataset.targets_NL[rows])
        self._oversample = oversample
        self.seed = 0

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        order_N = epoch_order(self._targets_NL, self._oversample, generator)
        for index, start in enumerate(range(0, len(order_N), self._batch_size)):
            chosen_B = order_N[start : start + self._batch_size]
            inputs = self._inputs.drawn(self._rows[chosen_B.numpy()], generator)
            yield Batch(inputs, self._targets_NL[chosen_B].float(), self.seed * 1_000_003 + index)


class Batches(lightning.LightningDataModule):
    """Feeds a fit: a new order every epoch, read ahead of the device, augmentation on it.

    Attributes:
        waited_s: how long the current epoch's loop has waited for batches.
    """

    def __init__(self, stream: BatchStream, inputs: Inputs, seed: int, *, pin: bool = False) -> None:
        """Wrap a stream.

        Args:
            stream: the batches.
            inputs: augments them.
            seed: decides every order.
            pin: put batches where a GPU copies them from without making anybody wait.
        """
        super().__init__()
        self._stream, self._inputs, self._seed, self._pin = stream, inputs, seed, pin
        self._epoch = _Epoch(stream, pin=pin)

    @property
    def waited_s(self) -> float:
        """Return the current epoch's seconds of waiting."""
        return self._epoch.waited_s

    def train_dataloader(self) -> Iterable[Batch]:
        """Return the epoch's batches."""
        assert self.trainer is not None
        self._stream.seed = self._seed * 100_003 + self.trainer.current_epoch
        self._epoch = _Epoch(self._stream, pin=self._pin)
        return self._epoch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment the batch where it now is."""
        torch.manual_seed(batch.seed)  # for dropout, which knows no generator of its own
        generator = torch.Generator().manual_seed(batch.seed)
        return batch._replace(inputs=self._inputs.augment(batch.inputs, generator))


class _Epoch(Prefetched[Batch]):
    """Prefetched batches that tell Lightning how many they are."""

    def __init__(self, stream: BatchStream, *, pin: bool) -> None:
        super().__init__(stream, _pinned if pin else None)
        self._stream = stream

    def __len__(self) -> int:
        return len(self._stream)


def _pinned(batch: Batch) -> Batch:
    return batch._replace(inputs=batch.inputs.pin_memory(), targets_BL=batch.targets_BL.pin_memory())
