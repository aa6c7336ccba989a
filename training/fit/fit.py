"""Stage 1: fit every member on every fold; keep the weights.

A finished fit is never repeated; an interrupted one goes on from its last epoch.
"""

import logging
import shutil
from collections.abc import Iterable

import lightning
import numpy as np
from safetensors.torch import save_file

from service.contract.files import atomic_write
from training.config.schema import MemberConfig
from training.data.dataset import Dataset, open_dataset
from training.fit.batches import Batches, BatchStream
from training.fit.callbacks import EpochDisplay
from training.fit.checkpoints import each_epoch
from training.fit.inputs import Inputs, inputs_of
from training.fit.task import FitTask
from training.fit.trainer import device_of, learns_deep, ready, train, trainer_of
from training.network.model import label_mask, silence
from training.run.folder import Run

log = logging.getLogger(__name__)


def fit(run: Run) -> None:
    """Fit what is not fitted yet."""
    dataset = open_dataset(run)
    for member in run.config.members:
        fit_member(run, member, dataset)


def fit_member(run: Run, member: MemberConfig, dataset: Dataset, folds: Iterable[int] | None = None) -> None:
    """Fit the folds of one member, all unless said otherwise, that are not fitted yet."""
    asked = range(run.config.folds) if folds is None else folds
    left = [fold for fold in asked if not run.fit_path(member.name, fold).exists()]
    if left:
        inputs = inputs_of(run, member, dataset)
        for fold in left:
            _fit_fold(run, member, fold, dataset, inputs)


def _fit_fold(run: Run, member: MemberConfig, fold: int, dataset: Dataset, inputs: Inputs) -> None:
    path = run.fit_path(member.name, fold)
    checkpoints = path.with_suffix("")
    seed = run.config.seed + fold
    lightning.seed_everything(seed, verbose=False)
    rows = np.flatnonzero(dataset.folds_N != fold)
    stream = BatchStream(inputs, rows, dataset, member.batch_size, member.oversample)
    task = FitTask(ready(inputs.network(rows), member), member, dataset.labels, len(stream))
    display = EpochDisplay(run, member.name, fold)
    callbacks = [display, *([each_epoch(checkpoints)] if learns_deep(member) else [])]
    batches = Batches(stream, inputs, seed, pin=device_of(member).type == "cuda")
    train(trainer_of(run.config, member, callbacks), task, batches, checkpoints)
    silence(task.network.head, label_mask(member, dataset.labels))
    state = {name: value.contiguous().cpu() for name, value in task.network.state_dict().items()}
    with atomic_write(path) as partial:
        save_file(state, partial)
    shutil.rmtree(checkpoints, ignore_errors=True)
    log.info("%s, fold %d of %d: loss %.4f", member.name, fold + 1, run.config.folds, display.epochs[-1].loss)
