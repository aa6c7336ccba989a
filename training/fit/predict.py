"""Stage 2: every network's probabilities for the chips it was not trained on.

Shape suffixes: A architectures, N chips, B chips of a batch, L labels.
"""

import logging

import numpy as np
import torch

from training.data.dataset import open_dataset
from training.data.out_of_fold import OutOfFold, write_predictions
from training.fit.checkpoints import read_fit
from training.fit.device import best_device
from training.fit.inputs import Inputs, Rows, inputs_of
from training.network.loss import activation
from training.network.model import ChipNet, label_mask
from training.run.folder import OUT_OF_FOLD, Run
from training.run.progress import track

log = logging.getLogger(__name__)
BATCH = 64


def predict(run: Run) -> None:
    """Write the out-of-fold probabilities, unless those of these fits are there."""
    folds = range(run.config.folds)
    fits = [run.need_fit(member.name, fold) for member in run.config.members for fold in folds]
    if run.is_fresh(run.folder / OUT_OF_FOLD, fits):
        return
    dataset = open_dataset(run)
    probs_ANL = np.empty((len(run.config.members), *dataset.targets_NL.shape), np.float32)
    for index, member in enumerate(run.config.members):
        inputs = inputs_of(run, member, dataset)
        for fold in folds:
            network = inputs.restored(read_fit(run, member.name, fold)).to(best_device()).eval()
            rows = np.flatnonzero(dataset.folds_N == fold)
            title = f"predict {member.name}, fold {fold + 1} of {run.config.folds}"
            logits_NL = logits_of(network, inputs, rows, run.config.predict_views, title)
            probs_NL = activation(logits_NL, dataset.labels, member.exclusive)
            probs_ANL[index, rows] = probs_NL.numpy()
    label_mask_AL = np.stack([label_mask(member, dataset.labels) for member in run.config.members])
    write_predictions(run, OutOfFold(probs_ANL, dataset.targets_NL, dataset.folds_N, label_mask_AL))
    log.info("out-of-fold probabilities of %d chips from %d members", *reversed(probs_ANL.shape[:2]))


def logits_of(network: ChipNet, inputs: Inputs, rows: Rows, views: int, title: str) -> torch.Tensor:
    """Return the mean logits (N,L) over a number of views of each chip."""
    starts = range(0, len(rows), BATCH)
    parts = []
    with torch.inference_mode():
        for start in track(starts, title, len(starts)):
            chosen = rows[start : start + BATCH]
            seen = (inputs.seen(chosen, index).to(best_device()) for index in range(views))
            parts.append(torch.stack([network(chips).float() for chips in seen]).mean(dim=0).cpu())
    return torch.cat(parts)
