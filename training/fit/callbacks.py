"""What a fit tells while it runs: a bar, a row of figures for each epoch, events for TensorBoard.

fits/<member>/fold<k>.csv     a row for each epoch, kept after the fit (`fit_logs.py`)
logs/<member>/fold<k>/        the same for `tensorboard --logdir <run>/logs`
"""

import logging
from dataclasses import asdict
from time import perf_counter
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from training.fit.batches import Batch, Batches
from training.run.folder import Run
from training.run.history import Epoch, read_epochs, write_epochs
from training.run.progress import bar, console

log = logging.getLogger(__name__)


class EpochDisplay(Callback):
    """A bar of epochs with the last one's figures, which it also writes to the run's folder."""

    def __init__(self, run: Run, member: str, fold: int) -> None:
        self._path = run.epochs_path(member, fold)
        self._events = run.folder / "logs", member, f"fold{fold}"
        self._bar, self._title = bar(), f"fit {member}, fold {fold + 1} of {run.config.folds}"
        self.epochs = read_epochs(self._path)
        self._logger: TensorBoardLogger | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar; forget rows of epochs that are repeated."""
        self.epochs = self.epochs[: trainer.current_epoch]
        folder, member, fold = self._events
        # An epoch that was noted but not kept before a kill is shown once only.
        self._logger = TensorBoardLogger(folder, member, fold, purge_step=trainer.current_epoch + 1)
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=trainer.max_epochs, completed=len(self.epochs))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start counting."""
        self._began, self._images = perf_counter(), 0
        self._losses: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer: lightning.Trainer, *args: object) -> None:
        """Note the rate, which the schedule changes after the step."""
        self._rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: dict[str, Any],
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Note the loss."""
        self._losses.append(outputs["loss"].detach())  # read once an epoch: reading makes a GPU wait
        self._images += len(batch.targets_BL)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the epoch's figures and advance."""
        loss = float(torch.stack(self._losses).mean())  # the device has done all its work now
        took_s = perf_counter() - self._began
        batches: Batches = trainer.datamodule  # type: ignore[attr-defined]
        number = trainer.current_epoch + 1
        epoch = Epoch(number, loss, self._rate, self._images / took_s, batches.waited_s / took_s)
        self.epochs.append(epoch)
        write_epochs(self._path, self.epochs)
        assert self._logger is not None
        figures = asdict(epoch)
        del figures["epoch"]
        self._logger.log_metrics(figures, step=number)
        self._logger.experiment.flush()
        speed = f"{epoch.images_per_s:.0f} images/s, {epoch.data_share:.0%} waiting for data"
        title = f"{self._title}, loss {loss:.4f}, {speed}"
        self._bar.update(self._task, completed=number, description=title)
        if not console.is_terminal and trainer.checkpoint_callbacks:
            log.info("%s, epoch %d", title, number)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Take the bar away."""
        self._bar.stop()
        if self._logger is not None:
            self._logger.finalize("success")

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away: a fit that fails or is interrupted is not torn down."""
        self.teardown(trainer, pl_module, "fit")
