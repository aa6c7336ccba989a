"""Stage 1: fit every member on every fold; keep the weights.

A finished fit is never repeated; an interrupted one goes on from its last epoch.
"""

import logging
import shutil
import signal
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors.torch import save_file

from training.batches import Batches, BatchStream
from training.config import MemberConfig
from training.dataset import Dataset, open_dataset
from training.device import best_device, fast_bfloat16
from training.inputs import Inputs, inputs_of
from training.model import silence, speaks
from training.progress import bar, console
from training.task import FitTask
from training.workspace import Run, whole_file

log = logging.getLogger(__name__)


def fit(run: Run) -> None:
    """Fit what is not fitted yet."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # one display: ours
    dataset = open_dataset(run)
    for member in run.config.members:
        fit_member(run, member, dataset)


def fit_member(run: Run, member: MemberConfig, dataset: Dataset) -> None:
    """Fit the folds of one member that are not fitted yet."""
    folds = [fold for fold in range(run.config.folds) if not run.fit_path(member.name, fold).exists()]
    if folds:
        inputs = inputs_of(run, member, dataset)
        for fold in folds:
            _fit_fold(run, member, fold, dataset, inputs)


def _fit_fold(run: Run, member: MemberConfig, fold: int, dataset: Dataset, inputs: Inputs) -> None:
    path = run.fit_path(member.name, fold)
    seed = run.config.seed + fold
    lightning.seed_everything(seed, verbose=False)
    rows = np.flatnonzero(dataset.folds_N != fold)
    stream = BatchStream(inputs, rows, dataset, member.batch_size, member.oversample)
    network = inputs.network(rows)
    if member.channels_last:
        network.to(memory_format=torch.channels_last)
    if member.compile:
        network.compile()
    task = FitTask(network, member, dataset.labels, len(stream))
    display = EpochDisplay(f"fit {member.name}, fold {fold + 1} of {run.config.folds}")
    _train(_trainer(run, member, display, path.with_suffix("")), task, Batches(stream, inputs, seed), path)
    silence(network.head, speaks(member, dataset.labels))
    state = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    with whole_file(path) as partial:
        save_file(state, partial)
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    log.info("%s, fold %d: loss %.4f", member.name, fold, display.loss)


def _train(trainer: lightning.Trainer, task: FitTask, batches: Batches, path: Path) -> None:
    last = path.with_suffix("") / "last.ckpt"
    with warnings.catch_warnings():
        # Batches come ready made from memory: worker processes would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*`IterableDataset` has `__len__` defined.*")
        # The checkpoint of a fit that was interrupted is there on purpose.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # Lightning 2.6 still asks torch's pytree the old way.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        try:
            trainer.fit(task, batches, ckpt_path=last if last.exists() else None, weights_only=False)
        except SIGTERMException:
            raise SystemExit(128 + signal.SIGTERM) from None  # Lightning would exit as if all were done


def _trainer(run: Run, member: MemberConfig, display: Callback, checkpoints: Path) -> lightning.Trainer:
    deep = member.freeze != "backbone"  # a head is fitted within seconds: nothing worth a checkpoint or a GPU
    callbacks = [display]
    if member.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=member.ema_decay))
    if deep:
        callbacks.append(ModelCheckpoint(checkpoints, filename="last", enable_version_counter=False))
    return lightning.Trainer(
        max_epochs=member.epochs,
        max_steps=run.config.max_steps or -1,
        accelerator=best_device().type if deep else "cpu",
        devices=1,
        precision="bf16-mixed" if deep and member.mixed_precision and fast_bfloat16() else "32-true",
        gradient_clip_val=member.clip_norm,
        callbacks=callbacks,
        enable_checkpointing=deep,
        default_root_dir=run.folder,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


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
