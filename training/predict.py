"""Stage 2: every network's probabilities for the chips it was not trained on.

Shape suffixes: A architectures, N chips, B chips of a batch, L labels.
"""

import logging

import numpy as np
import torch
from safetensors.torch import load_file

from training.dataset import open_dataset
from training.inputs import inputs_of
from training.model import best_device
from training.progress import track
from training.results import OUT_OF_FOLD, write_predictions
from training.voting import OutOfFold
from training.workspace import Run

log = logging.getLogger(__name__)
BATCH = 64


def predict(run: Run) -> None:
    """Write the out-of-fold probabilities, unless those of these fits are there."""
    folds = range(run.config.folds)
    fits = [run.need_fit(member.name, fold) for member in run.config.members for fold in folds]
    if run.is_fresh(run.folder / OUT_OF_FOLD, fits):
        return
    dataset = open_dataset(run)
    device = best_device()
    shape = (len(run.config.members), *dataset.targets_NL.shape)
    probs_ANL = np.empty(shape, np.float32)
    for index, member in enumerate(run.config.members):
        inputs = inputs_of(run, member, dataset)
        for fold in range(run.config.folds):
            network = inputs.restored(load_file(run.need_fit(member.name, fold))).to(device).eval()
            rows = np.flatnonzero(dataset.folds_N == fold)
            title = f"predict {member.name}, fold {fold + 1} of {run.config.folds}"
            starts = range(0, len(rows), BATCH)
            for start in track(starts, title, len(starts)):
                chosen = rows[start : start + BATCH]
                with torch.inference_mode():
                    logits_BL = network(inputs.batch(chosen).to(device))
                probs_ANL[index, chosen] = torch.sigmoid(logits_BL).cpu().numpy()
    write_predictions(run, OutOfFold(probs_ANL, dataset.targets_NL, dataset.folds_N))
    log.info("out-of-fold probabilities of %d chips from %d architectures", shape[1], shape[0])
