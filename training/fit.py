"""Stage 1: fit every member on every fold; keep the weights.

Sigmoid and binary cross-entropy, Adam, a stepped rate, the eight views. A finished fit
is never repeated; an interrupted one goes on from its last epoch.

Shape suffixes: B chips of a batch, L labels.
"""

import logging
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from training.config import MemberConfig
from training.dataset import Dataset, open_dataset
from training.inputs import Inputs, Rows, inputs_of
from training.model import best_device, fast_bfloat16
from training.progress import bar, console
from training.schedule import step_at_thirds
from training.workspace import Run, whole_file

log = logging.getLogger(__name__)
Batch = tuple[torch.Tensor, torch.Tensor]


def fit(run: Run) -> None:
    """Fit what is not fitted yet."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # one display: ours
    dataset = open_dataset(run)
    for member in run.config.members:
        folds = [f for f in range(run.config.folds) if not run.fit_path(member.name, f).exists()]
        if folds:
            inputs = inputs_of(run, member, dataset)
            for fold in folds:
                _fit_fold(run, member, fold, dataset, inputs)


def _fit_fold(run: Run, member: MemberConfig, fold: int, dataset: Dataset, inputs: Inputs) -> None:
    path = run.fit_path(member.name, fold)
    checkpoints = path.with_suffix("")
    lightning.seed_everything(run.config.seed + fold, verbose=False)
    rows = np.flatnonzero(dataset.folds_N != fold)
    task = FitTask(inputs, rows, dataset, member, run.config.seed + fold)
    display = EpochDisplay(f"fit {member.name}, fold {fold + 1} of {run.config.folds}")
    trainer = _trainer(run, member, display, checkpoints)
    last = checkpoints / "last.ckpt"
    with warnings.catch_warnings():
        # Batches come ready made from memory: worker processes would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*`IterableDataset` has `__len__` defined.*")
        # The checkpoint of a fit that was interrupted is there on purpose.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # Lightning 2.6 still asks torch's pytree the old way.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        try:
            trainer.fit(task, ckpt_path=last if last.exists() else None, weights_only=False)
        except SIGTERMException:
            raise SystemExit(128 + signal.SIGTERM) from None  # Lightning would exit as if all were done
    state = {name: value.contiguous().cpu() for name, value in inputs.state(task.network).items()}
    with whole_file(path) as partial:
        save_file(state, partial)
    shutil.rmtree(checkpoints, ignore_errors=True)
    log.info("%s, fold %d: loss %.4f", member.name, fold, display.loss)


def _trainer(run: Run, member: MemberConfig, display: Callback, checkpoints: Path) -> lightning.Trainer:
    whole = member.freeze == "none"  # a head is fitted within seconds: nothing worth a checkpoint or a GPU
    callbacks = [display]
    if whole:
        callbacks.append(ModelCheckpoint(checkpoints, filename="last", enable_version_counter=False))
    return lightning.Trainer(
        max_epochs=member.epochs,
        max_steps=run.config.max_steps or -1,
        accelerator=best_device().type if whole else "cpu",
        devices=1,
        precision="bf16-mixed" if whole and fast_bfloat16() else "32-true",
        callbacks=callbacks,
        enable_checkpointing=whole,
        default_root_dir=run.folder,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class FitTask(lightning.LightningModule):
    """Loss, optimizer and schedule of one fit."""

    def __init__(self, inputs: Inputs, rows: Rows, dataset: Dataset, member: MemberConfig, seed: int) -> None:
        super().__init__()
        self.network = inputs.network(rows)
        self._stream = BatchStream(inputs, rows, dataset, member.batch_size)
        self._member, self._seed = member, seed

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Return the mean binary cross-entropy over chips and labels."""
        inputs, targets_BL = batch
        return nn.functional.binary_cross_entropy_with_logits(self.network(inputs).float(), targets_BL)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Draw order and views from the epoch's number, so that a resumed fit sees the same."""
        self._stream.seed = self._seed * 100_003 + self.current_epoch
        return DataLoader(self._stream, batch_size=None)

    def configure_optimizers(self) -> lightning.pytorch.utilities.types.OptimizerLRScheduler:
        """Return Adam with the stepped rate."""
        member = self._member
        optimizer = torch.optim.Adam(
            self.network.parameters(), lr=member.learning_rate, weight_decay=member.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: step_at_thirds(epoch, member.epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class BatchStream(IterableDataset[Batch]):
    """One epoch of shuffled batches, every chip in a random view."""

    def __init__(self, inputs: Inputs, rows: Rows, dataset: Dataset, batch_size: int) -> None:
        self._inputs, self._rows, self._batch_size = inputs, rows, batch_size
        self._targets_NL = torch.from_numpy(dataset.targets_NL).float()
        self.seed = 0

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self._rows), generator=generator).numpy()
        for start in range(0, len(order), self._batch_size):
            rows = self._rows[order[start : start + self._batch_size]]
            yield self._inputs.batch(rows, generator), self._targets_NL[rows]


class EpochDisplay(Callback):
    """A bar of epochs, and the last epoch's mean loss."""

    def __init__(self, title: str) -> None:
        self.loss = float("nan")
        self._bar, self._title = bar(), title
        self._losses: list[torch.Tensor] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar."""
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=trainer.max_epochs)

    def on_train_batch_end(self, *args: object) -> None:
        """Note the loss."""
        outputs = args[2]
        assert isinstance(outputs, dict)
        self._losses.append(outputs["loss"].detach())  # read once an epoch: reading makes a GPU wait

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Advance."""
        self.loss, self._losses = float(torch.stack(self._losses).mean()), []
        title = f"{self._title}, loss {self.loss:.4f}"
        self._bar.update(self._task, completed=trainer.current_epoch + 1, description=title)
        if not console.is_terminal and trainer.checkpoint_callbacks:
            log.info("%s, epoch %d", title, trainer.current_epoch + 1)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the bar away."""
        self._bar.stop()
